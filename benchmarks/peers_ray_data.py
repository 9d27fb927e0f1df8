"""Ray Data's `read_videos`: it decodes whole files, with decord; a map then takes the clips.

One read task a file makes one block of all its frames, resized by the decoder, and a map fused to
it keeps the wanted ones, by the time stamps that the reader gives.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.peers_plain import NUM_WORKERS, Delivered
from benchmarks.workload import Workload, jobs

_MAX_PASSES = 12

Block = Any
"""Column name -> array, one row for each frame."""


@contextmanager
def ray_data(workload: Workload, num_passes: int) -> Iterator[Iterator[Delivered]]:
    """Batches in whatever order files are done; Ray must be initialised."""
    import ray.data

    logging.getLogger("ray.data").setLevel(logging.ERROR)
    ray.data.DataContext.get_current().enable_progress_bars = False
    # Its plan holds every file: many of them delay the first batch.
    todo = list(jobs(workload, min(num_passes, _MAX_PASSES)))
    # The same file comes up once a pass; which clips of it are wanted, its name alone can tell.
    wanted_s = {
        Path(job.path).name: np.concatenate([view.frames_s for view in job.views])
        - job.video.start_s
        for job in reversed(todo)
    }
    width_px, height_px = todo[0].size_px
    dataset = ray.data.read_videos(
        [job.path for job in todo],
        include_paths=True,
        include_timestamps=True,
        resize=(height_px, width_px),
        override_num_blocks=len(todo),
        concurrency=NUM_WORKERS,
        num_cpus=1,
    ).map_batches(
        partial(_take_clips, wanted_s),
        batch_size=None,
        concurrency=NUM_WORKERS,
        num_cpus=1,
    )
    yield (
        tuple(batch["clips"].swapaxes(0, 1))
        for batch in dataset.iter_batches(batch_size=workload.batch_items)
    )


def _take_clips(wanted_s: dict[str, npt.NDArray[np.float64]], block: Block) -> Block:
    starts_s = block["frame_timestamp"][:, 0]
    times_s = wanted_s[Path(str(block["path"][0])).name]
    numbers = np.searchsorted(starts_s - starts_s[0], times_s, side="right") - 1
    frames = block["frame"][numbers]
    return {"clips": frames.reshape(1, 2, -1, *frames.shape[1:])}
