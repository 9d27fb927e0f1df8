"""Videos that are in train and in test under two names: the same pictures, coded twice."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import numpy.typing as npt
import torch

from avrep.evaluation.action.embed_videos import (
    Embedded,
    Progress,
    VideoFeatures,
    Videos,
    embed_rows,
)
from avrep.evaluation.action.video_encoder import FunctionEncoder
from avrep.evaluation.neighbours import l2_normalise
from avrep.sampling.clips import DenseConfig
from avrep.sampling.spec import ViewSpec
from avrep.types import Batch, Geometry, RowNumbers

Thumbnails = Annotated[npt.NDArray[np.float32], "n f 72"]
"""Of each video, f frames averaged to 8 rows of 9 places of luma, in levels of 255."""

NUM_FRAMES = 8
"""Frames of each video, evenly spaced from its first to its last."""
MAX_BITS = 5.0
"""Mean number of bits, of 64 a frame, in which near duplicates differ at most (avrep default)."""
MIN_CORRELATION = 0.9
"""Of how the frames differ from their mean (avrep default). On 55 clips of three corpora, copies at
CRF 30 had 0.925 and more; other clips of the same person in the same room 0.82 and less."""
_ROWS, _COLUMNS = 8, 9
_DECODED_PX = 72
_LUMA = np.array([0.299, 0.587, 0.114])
_FLAT = 1.0
_STILL = 0.3
_CHUNK = 512


@dataclass(frozen=True, slots=True)
class NearDuplicate:
    """A test video and the train video that shows the same."""

    test: str
    train: str
    bits: float
    """Mean over frames of the number of bits, of 64, in which they differ."""


def thumbnail(frame: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """A frame's luma averaged to 8 rows of 9 places, whatever its shape.

    Args:
        frame: uint8[h w 3].

    Returns:
        float32[72] in [0, 255].
    """
    luma = frame.astype(np.float64) @ _LUMA
    small = _averages(luma.shape[0], _ROWS) @ luma @ _averages(luma.shape[1], _COLUMNS).T
    return small.astype(np.float32).reshape(-1)


def difference_hash(thumbnails: npt.NDArray[np.float32]) -> npt.NDArray[np.bool_]:
    """64 bits of a frame that survive another codec, size or brightness.

    A bit says whether it gets lighter from a place to the next on its right, by more than one level
    of 255, so that what is flat is flat in any coding.

    Args:
        thumbnails: float32[... 72].

    Returns:
        bool[... 64].
    """
    grid = thumbnails.reshape(*thumbnails.shape[:-1], _ROWS, _COLUMNS)
    return (np.diff(grid, axis=-1) > _FLAT).reshape(*thumbnails.shape[:-1], -1)


def hash_videos(
    videos: Videos, rows: RowNumbers, progress: Progress | None = None
) -> VideoFeatures:
    """Each video's thumbnails: `vectors` is `Thumbnails`."""
    sampler = DenseConfig(num_frames=1, stride=1, num_clips=NUM_FRAMES)
    made = Embedded(
        identity={"version": 1, "thumbnails": NUM_FRAMES},
        spec=ViewSpec(sampler=sampler, geometry=Geometry(short_side_px=_DECODED_PX)),
        transform=_shrunk,
        encoder=FunctionEncoder(lambda small: small, _ROWS * _COLUMNS),
    )
    return embed_rows(made, videos, rows, every_view=True, progress=progress)


def near_duplicates(
    train_keys: Sequence[str],
    train: Thumbnails,
    test_keys: Sequence[str],
    test: Thumbnails,
) -> tuple[NearDuplicate, ...]:
    """Every pair of a test and a train video whose frames hash alike, one by one, and change alike.

    Clips of one room hash alike whatever happens there, so the frames' differences from their mean
    must correlate too, unless neither video changes at all. A copy that was coded anew, resized or
    made lighter is found; one that was cut to other frames is not.

    Args:
        train_keys: names of the n train videos.
        train: float32[n f 72].
        test_keys: names of the q test videos.
        test: float32[q f 72].

    Returns:
        In the order of the test videos, the likest train video first.
    """
    signs, asked = _signs(train), _signs(test)
    changes, asked_changes = _changes(train), _changes(test)
    still, asked_still = ((each == 0).all(axis=1) for each in (changes, asked_changes))
    found = []
    for start in range(0, len(asked), _CHUNK):
        part = slice(start, start + _CHUNK)
        # Of two rows of signs, the product is the number of equal bits minus that of others.
        differ = (signs.shape[1] - asked[part] @ signs.T) / 2 / train.shape[1]
        alike = asked_changes[part] @ changes.T >= MIN_CORRELATION
        alike |= asked_still[part, None] & still
        found += [
            NearDuplicate(test_keys[start + q], train_keys[n], float(differ[q, n]))
            for q, n in np.argwhere((differ <= MAX_BITS) & alike).tolist()
        ]
    order = {key: place for place, key in enumerate(test_keys)}
    return tuple(sorted(found, key=lambda pair: (order[pair.test], pair.bits)))


def _signs(thumbnails: Thumbnails) -> npt.NDArray[np.float32]:
    """All bits of each video as 1 and -1, float32[n f*64]."""
    bits = difference_hash(thumbnails).reshape(len(thumbnails), -1)
    return np.where(bits, np.float32(1), np.float32(-1))


def _changes(thumbnails: Thumbnails) -> npt.NDArray[np.float32]:
    """How each video's frames differ from their mean, of length 1, float32[n f*72]; 0 where still."""
    changes = thumbnails - thumbnails.mean(axis=1, keepdims=True)
    changes = changes.reshape(len(thumbnails), -1)
    moves = np.abs(changes).mean(axis=1, keepdims=True) > _STILL
    return np.where(moves, l2_normalise(changes), np.float32(0))


def _averages(size: int, parts: int) -> npt.NDArray[np.float64]:
    """Weights float64[parts size] that average equal parts of a line, cut within pixels too."""
    edges = np.linspace(0, size, parts + 1)
    low = np.maximum(edges[:-1, None], np.arange(size))
    high = np.minimum(edges[1:, None], np.arange(size) + 1)
    return np.clip(high - low, 0, None) * parts / size


def _shrunk(batch: Batch, view: int) -> tuple[torch.Tensor, ...]:
    clips = batch.views[view]
    if clips.video is None:
        raise ValueError("a video without pictures")
    sizes = clips.size_px.tolist()
    frames = [
        video[0, :height, :width] for video, (height, width) in zip(clips.video, sizes, strict=True)
    ]
    return (torch.from_numpy(np.stack([thumbnail(frame) for frame in frames])),)


def write_pairs(path: Path, pairs: Sequence[NearDuplicate]) -> None:
    """Write the pairs as CSV, for a person to look at."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["test", "train", "bits_of_64"])
        writer.writerows([pair.test, pair.train, f"{pair.bits:.2f}"] for pair in pairs)
