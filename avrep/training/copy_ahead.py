"""Batches on their way to a GPU: each is copied while the step before it computes."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self

import torch

from avrep.objectives.base import BatchTensors
from avrep.training.inputs import move_batch
from avrep.types import Batch


class CopyAhead:
    """Moves batches to a device; to a GPU, one batch ahead of the steps. A context manager.

    A thread copies what comes next into pinned memory, and from there to the GPU on a CUDA stream of
    its own, so that neither the host nor the GPU's other work waits for it. On the CPU, where moving
    is not copying, nothing is done ahead.

    Args:
        device: where to.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._thread = ThreadPoolExecutor(1, "copy-ahead")
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None
        self._copies: dict[int, Future[tuple[BatchTensors, torch.cuda.Event]]] = {}

    def ahead(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        """The same batches, each given while the next one is being copied; to be asked for with `take`.

        For a GPU, one batch more than was given has been drawn.
        """
        return batches if self._stream is None else self._one_ahead(batches, self._stream)

    def take(self, batch: Batch) -> BatchTensors:
        """The batch on the device, its video still uint8[b t h w 3].

        What is asked of the GPU afterwards waits for the copy; the host does not, but for a copy that
        was not begun.
        """
        copy = self._copies.pop(batch.step, None)
        if copy is None:
            return move_batch(batch, self._device)
        moved, is_there = copy.result()
        computing = torch.cuda.current_stream(self._device)
        computing.wait_event(is_there)
        _keep_for(moved, computing)
        return moved

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._thread.shutdown(cancel_futures=True)
        self._copies.clear()

    def _one_ahead(self, batches: Iterator[Batch], stream: torch.cuda.Stream) -> Iterator[Batch]:
        held: Batch | None = None
        for batch in batches:
            self._copies[batch.step] = self._thread.submit(self._copy, batch, stream)
            if held is not None:
                yield held
            held = batch
            del batch
        if held is not None:
            yield held

    def _copy(
        self, batch: Batch, stream: torch.cuda.Stream
    ) -> tuple[BatchTensors, torch.cuda.Event]:
        with torch.cuda.stream(stream):
            moved = move_batch(batch, self._device)
            is_there = torch.cuda.Event()
            is_there.record(stream)
            return moved, is_there


def _keep_for(batch: BatchTensors, stream: torch.cuda.Stream) -> None:
    """Have memory that was taken on one CUDA stream not be given away before another is done with it."""
    for view in batch.views:
        for copied in (view.video, view.audio):
            if copied is not None:
                copied.record_stream(stream)
    for other in batch.others.values():
        _keep_for(other, stream)
