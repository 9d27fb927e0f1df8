"""Before anything is timed: do all contenders give the same frames, at the right times?

Each contender's clips of one pass are set beside those that avrep's decoder gives of the source
files, and beside the frames shown one frame earlier and later. A clip is matched to its item by its
pixels, since some peers deliver in an order of their own.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from avrep.media import shards
from avrep.media.decode import decode_views
from avrep.types import ClipTimes, Geometry
from benchmarks.contenders import Contender
from benchmarks.workload import SHORT_SIDE_PX, Job, Workload, jobs, open_catalog

Frames = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """How a contender's frames compare with avrep's own of the source files."""

    num_clips: int
    psnr_db: float
    """Median over frames. Other resizing filters alone bring it down to 30 or so."""
    right_frames: float
    """Share of the frames that resemble the wanted one as much as the one before or after, or more.
    What was coded anew is a little unlike all three: a difference in error of a twentieth is none."""


def check(contender: Contender, workload: Workload) -> Agreement:
    """Compare one pass; Ray must be initialised where the contender needs it.

    Raises:
        RuntimeError: it gave another number of clips, or clips of another form.
    """
    own = workload.on_packed() if contender.on_packed else workload
    if own is None:
        raise RuntimeError("no packed corpus")
    references = [_reference(job) for job in _on_sources(own, workload)]
    with contender.open(own, 1) as stream:
        batches = list(stream)
    num_clips = sum(len(view) for batch in batches for view in batch)
    if num_clips != workload.batches_per_pass * workload.clips_per_batch:
        raise RuntimeError(f"it gave {num_clips} clips")
    errors = [
        _errors(tuple(view[row] for view in batch), references)
        for batch in batches
        for row in range(len(batch[0]))
    ]
    return _agreement(np.concatenate(errors))


def squared_error(clip: Frames, reference: Frames) -> npt.NDArray[np.float64]:
    """float64[t]: the mean squared difference of each frame, over the pixels that both have."""
    if len(clip) != len(reference) or any(
        abs(a - b) > 1 for a, b in zip(clip.shape[1:3], reference.shape[1:3], strict=True)
    ):
        raise RuntimeError(f"it gave frames of {clip.shape}, not {reference.shape}")
    height, width = np.minimum(clip.shape[1:3], reference.shape[1:3])
    ours, theirs = (frames[:, :height, :width].astype(np.float32) for frames in (reference, clip))
    return np.square(ours - theirs).mean(axis=(1, 2, 3), dtype=np.float64)


def psnr_db(squared: float) -> float:
    """Peak signal to noise ratio of 8-bit pixels; equal ones count as a hundredth of a level off."""
    return float(10 * np.log10(255**2 / max(squared, 1e-4)))


def _on_sources(own: Workload, workload: Workload) -> Iterator[Job]:
    """The contender's clips, out of the source files."""
    catalog = open_catalog(workload.catalog)
    items = {item.key: item for item in (catalog[row] for row in workload.rows)}
    for job in jobs(own, 1):
        item = items[job.item.key]
        yield replace(job, item=item, path=shards.shard_url(item, catalog.root))


def _reference(job: Job) -> Frames:
    """uint8[views 3 t h w 3]: the frames one earlier, wanted, and one later."""
    moved = [
        ClipTimes(frames_s=view.frames_s + step / job.video.fps)
        for view in job.views
        for step in (-1, 0, 1)
    ]
    geometry = Geometry(short_side_px=SHORT_SIDE_PX)
    clips = decode_views(Path(job.path).read_bytes(), moved, geometry)
    frames = np.stack([clip.video for clip in clips if clip.video is not None])
    return frames.reshape(len(job.views), 3, *frames.shape[1:])


def _errors(views: tuple[Frames, ...], references: list[Frames]) -> npt.NDArray[np.float64]:
    """float64[views t 3]: squared errors beside the frame before, the wanted one, and the next."""
    half = len(views[0]) // 2
    one = slice(half, half + 1)
    middle = [squared_error(views[0][one], of_item[0, 1, one])[0] for of_item in references]
    nearest = references[int(np.argmin(middle))]
    return np.stack(
        [
            np.stack([squared_error(view, moved) for moved in of_view], axis=-1)
            for view, of_view in zip(views, nearest, strict=True)
        ]
    )


def _agreement(errors: npt.NDArray[np.float64]) -> Agreement:
    flat = errors.reshape(-1, 3)
    return Agreement(
        num_clips=len(errors),
        psnr_db=float(np.median([psnr_db(error) for error in flat[:, 1]])),
        right_frames=float((flat[:, 1] <= 1.05 * flat.min(axis=1)).mean()),
    )
