"""What a run writes down: one JSON line a logged step, and the same numbers for TensorBoard."""

import json
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from torch.utils.tensorboard import SummaryWriter

from avrep.training.loop import StepRecord


class Recorder:
    """Appends to `metrics.jsonl` and `tensorboard/` of a run folder; a context manager."""

    def __init__(self, run_dir: Path) -> None:
        run_dir.mkdir(parents=True, exist_ok=True)
        self._lines = (run_dir / "metrics.jsonl").open("a", encoding="utf-8")
        self._board = SummaryWriter(str(run_dir / "tensorboard"))

    def write(self, step: int, numbers: dict[str, float]) -> None:
        self._lines.write(json.dumps({"step": step, **numbers}) + "\n")
        self._lines.flush()
        for name, value in numbers.items():
            self._board.add_scalar(name, value, step)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._lines.close()
        self._board.close()


def numbers(window: Sequence[StepRecord]) -> dict[str, float]:
    """What is written for the steps since the last line: speed over all, the rest of the last."""
    last = window[-1]
    elapsed_s = sum(record.elapsed_s for record in window)
    return {
        "total_steps": last.total_steps,
        "loss": last.result.loss,
        "lr": last.lr,
        "grad_norm": last.result.grad_norm,
        "clips_per_s": sum(record.num_clips for record in window) / elapsed_s,
        "wait_share": sum(record.wait_s for record in window) / elapsed_s,
        "elapsed_s": elapsed_s,
        **last.result.metrics,
        **last.health,
    }
