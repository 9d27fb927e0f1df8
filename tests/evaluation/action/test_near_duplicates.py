"""Proves that a clip's hash survives another codec, size and brightness, and tells clips apart."""

from pathlib import Path

import numpy as np
import pytest

from avrep.evaluation.action.embed_videos import Videos
from avrep.evaluation.action.near_duplicates import (
    MAX_BITS,
    MIN_CORRELATION,
    difference_hash,
    hash_videos,
    near_duplicates,
    thumbnail,
    write_pairs,
)
from avrep.evaluation.action.robustness import recompress
from avrep.media.catalog import Catalog
from avrep.media.index import index_sources


def ramp(height: int, width: int, scale: float) -> np.ndarray:
    line = np.linspace(0, scale, width)
    return np.broadcast_to(line[None, :, None], (height, width, 3)).astype(np.uint8)


def bits(frame: np.ndarray) -> np.ndarray:
    return difference_hash(thumbnail(frame))


def test_bits_by_hand() -> None:
    assert bits(ramp(48, 90, 250)).tolist() == [True] * 64
    assert bits(ramp(48, 90, 250)[:, ::-1]).tolist() == [False] * 64
    assert bits(np.full((5, 7, 3), 77, np.uint8)).tolist() == [False] * 64
    # The lower half gets darker instead: four of eight rows.
    mixed = np.concatenate([ramp(40, 90, 250), ramp(40, 90, 250)[:, ::-1]])
    assert bits(mixed).tolist() == [True] * 32 + [False] * 32


def test_size_and_brightness_hardly_matter() -> None:
    rng = np.random.default_rng(0)
    coarse = rng.integers(20, 200, (12, 16, 3)).astype(np.uint8)
    large = coarse.repeat(20, axis=0).repeat(20, axis=1)
    small = coarse.repeat(6, axis=0).repeat(7, axis=1)
    first = bits(large)
    assert (first != bits(small)).sum() <= 2
    assert (first != bits(large + 30)).sum() == 0
    assert (first != bits(large[:, ::-1])).sum() > 20


def test_pairs_equal_a_slow_restatement(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    scenes = rng.uniform(0, 200, (5, 1, 72))
    moves = rng.normal(0, 8, (25, 4, 72))
    # 20 videos of 5 scenes, then 5 that are still; each test video is another take, or a copy.
    train = np.concatenate([scenes.repeat(4, axis=0) + moves[:20], scenes.repeat(4, axis=1)])
    test = scenes[rng.integers(0, 5, 12)] + rng.normal(0, 8, (12, 4, 72))
    test[2] = 1.1 * train[6] + 5 + rng.normal(0, 0.5, (4, 72))
    test[5] = train[22] + rng.normal(0, 0.1, (4, 72))
    keys = [[f"{side}{number}" for number in range(25)] for side in ("n", "q")]
    train, test = train.astype(np.float32), test.astype(np.float32)
    found = near_duplicates(keys[0], train, keys[1][:12], test)
    slow = []
    for q, asked in enumerate(test):
        for n, known in enumerate(train):
            differ = (difference_hash(asked) != difference_hash(known)).sum(axis=1).mean()
            changes = [(each - each.mean(axis=0)).ravel() for each in (asked, known)]
            still = [np.abs(each).mean() <= 0.3 for each in changes]
            alike = all(still) or (
                not any(still) and np.corrcoef(*changes)[0, 1] >= MIN_CORRELATION
            )
            if differ <= MAX_BITS and alike:
                slow.append((f"q{q}", f"n{n}"))
    assert [(pair.test, pair.train) for pair in found] == slow == [("q2", "n6"), ("q5", "n22")]
    write_pairs(tmp_path / "found.csv", found)
    lines = (tmp_path / "found.csv").read_text().split()
    assert lines[0] == "test,train,bits_of_64"
    assert lines[1].startswith("q2,n6,")


@pytest.mark.media
@pytest.mark.slow
def test_real_clips_coded_anew_are_found_and_others_are_not(
    media_root: Path, tmp_path: Path
) -> None:
    """33 clips of three people in their rooms: the same room is not the same clip."""
    folder = media_root / "action/gmdcsa24_ucfstyle/videos"
    index_sources([str(folder)], tmp_path / "catalog.parquet", num_workers=1)
    catalog = Catalog.open(tmp_path / "catalog.parquet")
    every = np.arange(len(catalog))
    (tmp_path / "coded").mkdir()
    copies = recompress(catalog, every[::4], tmp_path / "coded", crf=30.0).catalog
    hashes = hash_videos(Videos(catalog=catalog, work=tmp_path), every)
    copied = hash_videos(Videos(catalog=copies, work=tmp_path), np.arange(len(copies)))
    names = [f"copy of {key}" for key in copied.keys]
    pairs = near_duplicates(hashes.keys, hashes.vectors, names, copied.vectors)
    assert {(pair.test, pair.train) for pair in pairs} == {
        (f"copy of {key}", key) for key in copied.keys
    }
    assert max(pair.bits for pair in pairs) < MAX_BITS / 2
    assert (
        near_duplicates(hashes.keys[1:9], hashes.vectors[1:9], hashes.keys[9:], hashes.vectors[9:])
        == ()
    )
