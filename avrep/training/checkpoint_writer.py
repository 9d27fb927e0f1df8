"""Checkpoints written while training goes on, one at a time.

The state is copied to the host's memory at once, each rank its part, and training takes the next
step; a thread writes the copy. When all ranks have written, the first makes the checkpoint whole.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from threading import Thread
from types import TracebackType
from typing import Self

import torch
import torch.distributed as dist
from torch import Tensor, nn

from avrep.training import parallel
from avrep.training.checkpoint import RunState, own_part, read_state, write_part, write_state
from avrep.training.checkpoint_store import Checkpoint, CheckpointStore
from avrep.training.pieces import Piece
from avrep.training.retention import KeepBest, kept_steps

# The slowest rank's writing is waited for so long, in the background.
_PATIENCE = timedelta(hours=2)


class CheckpointWriter:
    """Writes one run's checkpoints; a context manager, which ends when the last is written.

    All ranks make one, and call each method, at the same places.

    Args:
        store: where they lie.
        keep_last: as many of the newest stay.
        keep_best: the best by this stays too.
    """

    def __init__(
        self, store: CheckpointStore, keep_last: int, keep_best: KeepBest | None = None
    ) -> None:
        self._store = store
        self._keep_last = keep_last
        self._keep_best = keep_best
        self._host = _HostCopy()
        self._thread: Thread | None = None
        self._error: Exception | None = None
        # Asked once: where training is torn down meanwhile, every rank would be the first of one.
        self._rank, self._num_ranks = parallel.rank(), parallel.world_size()
        # Of its own: the ranks' main threads speak over theirs meanwhile.
        self._group = (
            dist.new_group(backend="gloo", timeout=_PATIENCE) if self._num_ranks > 1 else None
        )

    def save(self, state: RunState, objective: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        """Begin a checkpoint of the state as it is now, when the one before it is written.

        Raises:
            OSError, ShardError: the one before it could not be written, on any rank.
        """
        self.wait()
        part = self._host.of(own_part(objective, optimizer, self._rank, self._num_ranks))
        state = replace(state, num_ranks=self._num_ranks)
        self._thread = Thread(
            target=self._write, args=(state, part), name="checkpoint", daemon=True
        )
        self._thread.start()

    def wait(self) -> None:
        """Go on when what was begun is written.

        Raises:
            OSError, ShardError: it could not be, on any rank.
        """
        if self._thread is None:
            return
        self._thread.join()
        self._thread = None
        if self._error is not None:
            error, self._error = self._error, None
            raise error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is None:
            self.wait()
        elif self._thread is not None:
            # What was begun may still become whole; why the run ends is the error to tell.
            self._thread.join()

    def _write(self, state: RunState, part: Mapping[str, Mapping[str, Piece]]) -> None:
        checkpoint = Checkpoint(self._store, state.step)
        try:
            self._on_all_ranks(lambda: write_part(checkpoint, part))
            self._on_all_ranks(lambda: self._make_whole(checkpoint, state))
        except Exception as error:
            self._error = error

    def _make_whole(self, checkpoint: Checkpoint, state: RunState) -> None:
        if self._rank != 0:
            return
        write_state(checkpoint, state)
        found = self._store.checkpoints()
        best, values = self._keep_best, {}
        if best is not None:
            metrics = {each.step: read_state(each).metrics for each in found}
            values = {
                step: told[best.metric] for step, told in metrics.items() if best.metric in told
            }
        kept = kept_steps(
            [each.step for each in found], self._keep_last, values, best.mode if best else "min"
        )
        for each in found:
            if each.step not in kept:
                self._store.remove(each)

    def _on_all_ranks(self, act: Callable[[], None]) -> None:
        """Do something on every rank; where it fails on one, it has failed on all."""
        failed: Exception | None = None
        try:
            act()
        except Exception as error:
            failed = error
        if self._group is not None:
            told: list[str | None] = [None] * self._num_ranks
            dist.all_gather_object(told, _line(failed), group=self._group)
            others = [text for text in told if text is not None]
            if failed is None and others:
                raise OSError(others[0])
        if failed is not None:
            raise failed


def _line(error: Exception | None) -> str | None:
    return None if error is None else " ".join(str(error).split()) or type(error).__name__


def _gpus(part: Mapping[str, Mapping[str, Piece]]) -> set[torch.device]:
    """Those that hold any of the pieces: not always torch's current one."""
    return {
        piece.data.device
        for pieces in part.values()
        for piece in pieces.values()
        if piece.data.is_cuda
    }


class _HostCopy:
    """Memory of the host that each checkpoint is copied to, kept for the next one."""

    def __init__(self) -> None:
        self._held: dict[tuple[str, str], Tensor] = {}

    def of(self, part: Mapping[str, Mapping[str, Piece]]) -> dict[str, dict[str, Piece]]:
        """The same pieces, their data copied; what was copied before is overwritten."""
        copied = {
            file: {
                name: replace(piece, data=self._copy((file, name), piece.data))
                for name, piece in pieces.items()
            }
            for file, pieces in part.items()
        }
        for device in _gpus(part):
            torch.cuda.synchronize(device)
        return copied

    def _copy(self, place: tuple[str, str], data: Tensor) -> Tensor:
        held = self._held.get(place)
        if held is None or held.shape != data.shape or held.dtype != data.dtype:
            # From pinned memory a GPU's copies need not wait for one another.
            held = torch.empty(data.shape, dtype=data.dtype, pin_memory=data.is_cuda)
            self._held[place] = held
        held.copy_(data.detach(), non_blocking=True)
        return held
