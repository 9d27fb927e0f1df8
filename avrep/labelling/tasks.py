"""What is done for each shard: read its rows' sound, compute, write one file.

A file is made by one task, whole or not at all, from nothing but the job and the shard's number, so
tasks may run anywhere and in any order, and a job that was killed makes what is missing.
"""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from avrep.errors import MediaError, ShardError
from avrep.labelling.job import LabelJob, load_features
from avrep.media.broken_storage import refuse_broken_storage
from avrep.media.label_store import (
    ROWS_PER_SHARD,
    RowLabels,
    shard_path,
    write_shard,
)
from avrep.media.limits import DecodeLimits
from avrep.media.own_process import OwnProcess
from avrep.media.put_in_place import put_in_place
from avrep.media.whole_sound import read_whole_sound
from avrep.models.frame_features import FrameFeatures
from avrep.models.waveform import RATE_HZ
from avrep.training.clusters import Frames, nearest_clusters
from avrep.types import MediaItem, RowNumbers

FAILURES_NOTE = "failures"
"""In a shard: JSON of [key, what is wrong] of each row with sound that could not be used."""

_PARTS = "parts"


@dataclass(frozen=True, slots=True)
class _Sound:
    first_s: float
    frames: Frames


def frames_path(out: Path, shard: int) -> Path:
    """Where the frames of a shard's sampled rows are until the clusters are found."""
    return out / _PARTS / f"frames-{shard:06d}.npy"


def centroids_path(out: Path) -> Path:
    return out / "centroids.npy"


def rows_of_shard(sampled: RowNumbers, shard: int) -> RowNumbers:
    return sampled[sampled // ROWS_PER_SHARD == shard]


def sample_shard(job: LabelJob, sampled: RowNumbers, shard: int) -> int:
    """Write the frames of a shard's sampled rows; those that cannot be used have none.

    Returns:
        How many rows were read.

    Raises:
        ConfigError: see `load_features`.
        ShardError: most of them cannot be read.
    """
    features, rows = load_features(job), rows_of_shard(sampled, shard)
    sounds = [read for _, read in _read(job, rows, features) if isinstance(read, _Sound)]
    none = np.zeros((0, features.width), np.float32)
    save_array(frames_path(job.out, shard), np.concatenate([none, *(s.frames for s in sounds)]))
    return len(rows)


def label_shard(job: LabelJob, shard: int) -> int:
    """Write the labels of a shard's rows.

    Returns:
        How many rows were read.

    Raises:
        ConfigError: see `load_features`.
        ShardError: most of them cannot be read.
    """
    centroids = np.load(centroids_path(job.out), allow_pickle=False)
    rows: list[RowLabels | None] = []
    failures: list[tuple[str, str]] = []
    for item, read in _read(job, job.rows(shard), load_features(job)):
        if isinstance(read, _Sound):
            rows.append(RowLabels(read.first_s, nearest_clusters(read.frames, centroids)))
            continue
        rows.append(None)
        if read is not None:
            failures.append((item.key, " ".join(str(read).split())))
    write_shard(shard_path(job.out, shard), rows, {FAILURES_NOTE: json.dumps(failures)})
    return len(rows)


def save_array(path: Path, array: npt.NDArray[np.generic]) -> None:
    """Write an array whole or not at all."""
    partial = path.with_name(f"{path.name}.partial")
    with partial.open("wb") as file:
        np.save(file, array, allow_pickle=False)
    put_in_place(partial, path)


def _read(
    job: LabelJob, rows: RowNumbers, features: FrameFeatures
) -> Iterator[tuple[MediaItem, _Sound | MediaError | ShardError | None]]:
    """The frames of each row, or what is wrong with it; None where it has no sound stream."""
    limits, num_unread, items = DecodeLimits(), 0, job.catalog.items(rows)
    num_heard = sum(item.audio is not None for item in items)
    with ExitStack() as stack:
        process = stack.enter_context(OwnProcess(read_whole_sound, limits.max_memory_bytes))
        for item in items:
            if item.audio is None:
                yield item, None
                continue
            deadline_s = limits.deadline_s + item.duration_s
            try:
                clip = process.call(deadline_s, item, job.catalog.root, RATE_HZ)
            except (MediaError, ShardError) as error:
                num_unread += isinstance(error, ShardError)
                refuse_broken_storage(num_unread, num_heard, error, "avrep label")
                yield item, error
                continue
            assert clip.audio is not None
            frames = features(torch.from_numpy(clip.audio)).numpy()
            yield item, _Sound(clip.audio_start_s, frames)
