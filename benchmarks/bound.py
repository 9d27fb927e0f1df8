"""What no loader without skipping can beat: libavcodec alone, one thread in each of two processes.

The file is opened, the demuxer seeks to the key frame before the first wanted frame, and packets
are decoded up to the last wanted frame; nothing is converted, copied or sent.
"""

import io
import multiprocessing
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Literal

import av
import numpy as np

from benchmarks.peers_plain import NUM_WORKERS, Delivered
from benchmarks.workload import Job, Workload, jobs

Passes = Literal["each", "union"]
"""A pass for each view, or one for both."""


@contextmanager
def libavcodec_alone(
    passes: Passes, workload: Workload, num_passes: int
) -> Iterator[Iterator[Delivered]]:
    """Batches without frames, as many as were decoded."""
    context = multiprocessing.get_context("fork")
    todo = list(jobs(workload, num_passes))
    size = workload.batch_items
    batches = [todo[first : first + size] for first in range(0, len(todo), size)]
    pipes: list[Connection] = []
    workers = []
    for first in range(NUM_WORKERS):
        ours, theirs = context.Pipe(duplex=False)
        arguments = (theirs, batches[first::NUM_WORKERS], passes)
        workers.append(context.Process(target=_work, args=arguments, daemon=True))
        workers[-1].start()
        theirs.close()
        pipes.append(ours)
    nothing = np.empty((size, 0), np.uint8)
    try:
        yield (
            (nothing, nothing)
            for step in range(len(batches))
            if pipes[step % NUM_WORKERS].recv() is None
        )
    finally:
        for worker in workers:
            worker.terminate()
            worker.join()


def decode_to_last(job: Job, wanted_s: Sequence[float]) -> int:
    """Decode from the key frame before the first to the last of the times; the number of frames."""
    num_frames = 0
    with av.open(_source(job), mode="r") as container:
        stream = container.streams.video[0]
        stream.thread_type = "NONE"
        base_s = float(stream.time_base or 1)
        # Times are the middles of frames: the last wanted one is the last that begins before.
        ahead_s = (stream.start_time or 0) * base_s - job.video.start_s
        container.seek(int((min(wanted_s) + ahead_s) / base_s), stream=stream)
        last_s = max(wanted_s) + ahead_s - 0.5 / job.video.fps
        for frame in container.decode(stream):
            num_frames += 1
            if (frame.pts or 0) * base_s >= last_s - 1e-3:
                break
    return num_frames


def _source(job: Job) -> str | io.BytesIO:
    """The file, or the item's bytes where it lies in a shard."""
    if job.item.length_bytes == Path(job.path).stat().st_size:
        return job.path
    with Path(job.path).open("rb") as file:
        file.seek(job.item.offset_bytes)
        return io.BytesIO(file.read(job.item.length_bytes))


def _work(pipe: Connection, batches: Sequence[Sequence[Job]], passes: Passes) -> None:
    for batch in batches:
        for job in batch:
            times = [view.frames_s.tolist() for view in job.views]
            for wanted_s in times if passes == "each" else [[*times[0], *times[1]]]:
                decode_to_last(job, wanted_s)
        pipe.send(None)
