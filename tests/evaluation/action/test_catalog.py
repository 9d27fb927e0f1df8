"""Proves that listed videos are probed once, again when a file changes, and that broken ones tell."""

import os
from pathlib import Path

import pytest

from avrep.errors import ConfigError
from avrep.evaluation.action.catalog import index_videos, task_items, usable_split
from avrep.evaluation.action.read import read_action_data


@pytest.fixture(scope="module")
def root(synth_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes of two videos each, and one test file that is no video."""
    root = tmp_path_factory.mktemp("classes")
    videos = sorted((synth_folder / "videos/train").glob("*.mp4"))[:4]
    for place, video in zip(
        ("train/A/1", "train/A/2", "train/B/3", "val/B/4"), videos, strict=True
    ):
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        (root / f"{place}.mp4").write_bytes(video.read_bytes())
    (root / "val/A").mkdir()
    (root / "val/A/5.mp4").write_bytes(b"no video at all")
    return root


@pytest.mark.slow
def test_what_was_probed_is_kept_until_a_file_changes(root: Path, tmp_path: Path) -> None:
    data = read_action_data(root, "video_folder")
    told: list[tuple[int, int]] = []
    first, catalog = (
        index_videos([data], tmp_path, num_workers=1, progress=lambda *now: told.append(now))
        for _ in range(2)
    )
    assert first.path == catalog.path
    assert told == [(number, 5) for number in range(1, 6)]
    assert catalog.keys() == ["train/A/1.mp4", "train/A/2.mp4", "train/B/3.mp4", "val/B/4.mp4"]
    os.utime(root / "val/B/4.mp4", ns=(0, 1))
    index_videos([data], tmp_path, num_workers=1, progress=lambda *now: told.append(now))
    assert len(told) == 10

    with pytest.raises(
        ConfigError, match=r"^1 of 5 listed videos cannot be opened: val/A/5.mp4 \("
    ):
        usable_split(data, catalog, allow_missing=False)
    usable = usable_split(data, catalog, allow_missing=True)
    assert [video.path for video in usable.split.test] == ["val/B/4.mp4"]
    assert "1 of 5 listed videos cannot be opened and were left out, as allowed" in usable.notes[-1]
    assert usable.digest != data.digest
    items = task_items(usable, catalog)
    assert items.train.tolist() == [0, 1, 2]
    assert items.test.tolist() == [3]
    assert items.label_sets == {"class": {0: "A", 1: "A", 2: "B", 3: "B"}}
