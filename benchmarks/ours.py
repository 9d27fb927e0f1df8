"""avrep's stream: on two Ray decode actors, and the same generator in two plain processes."""

import contextlib
import mmap
import multiprocessing
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import accumulate
from multiprocessing.connection import Connection

from avrep.pipeline.batches import batches, read_batch
from avrep.pipeline.example import StreamSource
from avrep.types import Batch
from benchmarks.peers_plain import Delivered
from benchmarks.workload import Workload

_AHEAD = 2
"""Batches that a process may be ahead, as many as a decode actor."""


@contextmanager
def on_ray(
    workload: Workload, num_passes: int, num_actors: int = 2
) -> Iterator[Iterator[Delivered]]:
    """Ray must be initialised."""
    from avrep.cluster.stream import ray_stream

    steps = range(num_passes * workload.batches_per_pass)
    with ray_stream(workload.source(), steps, num_actors=num_actors) as stream:
        yield (_videos(batch) for batch in stream)


@contextmanager
def in_processes(
    workload: Workload, num_passes: int, num_processes: int = 2
) -> Iterator[Iterator[Delivered]]:
    """The plain generator on every other step in each of two processes: what Ray does, cheaply.

    Arrays come in memory that the processes share and use again: each batch lasts until the next.
    """
    context = multiprocessing.get_context("fork")
    num_steps = num_passes * workload.batches_per_pass
    source = workload.source()
    slots = [
        [mmap.mmap(-1, _slot_bytes(source)) for _ in range(_AHEAD)] for _ in range(num_processes)
    ]
    pipes: list[Connection] = []
    workers = []
    for first in range(num_processes):
        ours, theirs = context.Pipe()
        steps = range(first, num_steps, num_processes)
        arguments = (theirs, slots[first], source, steps)
        workers.append(context.Process(target=_work, args=arguments, daemon=True))
        workers[-1].start()
        theirs.close()
        pipes.append(ours)
    try:
        yield (_videos(batch) for batch in _in_turn(pipes, slots, num_steps))
    finally:
        for worker in workers:
            worker.terminate()
            worker.join()


def _in_turn(
    pipes: list[Connection], slots: list[list[mmap.mmap]], num_steps: int
) -> Iterator[Batch]:
    for pipe in pipes:
        for slot in range(_AHEAD):
            pipe.send(slot)
    for step in range(num_steps):
        number = step % len(pipes)
        slot, header, sizes = pipes[number].recv()
        memory = memoryview(slots[number][slot])
        yield pickle.loads(header, buffers=_cut(memory, sizes))
        with contextlib.suppress(BrokenPipeError):  # After its last step, a process is gone.
            pipes[number].send(slot)


def _work(pipe: Connection, slots: list[mmap.mmap], source: StreamSource, steps: range) -> None:
    for batch in batches(source, steps):
        buffers: list[pickle.PickleBuffer] = []
        header = pickle.dumps(batch, protocol=5, buffer_callback=buffers.append)
        views = [buffer.raw() for buffer in buffers]
        sizes = [len(view) for view in views]
        slot = pipe.recv()
        for place, view in zip(_cut(memoryview(slots[slot]), sizes), views, strict=True):
            place[:] = view
        pipe.send((slot, header, sizes))


def _cut(memory: memoryview, sizes: list[int]) -> list[memoryview]:
    ends = list(accumulate(sizes))
    return [memory[end - size : end] for size, end in zip(sizes, ends, strict=True)]


def _slot_bytes(source: StreamSource) -> int:
    """Room for the largest batch: frames of the first, and a quarter more."""
    first = read_batch(source, 0)
    return sum(view.video.nbytes for view in first.views if view.video is not None) * 5 // 4


def _videos(batch: Batch) -> Delivered:
    return tuple(view.video for view in batch.views if view.video is not None)
