"""What a run writes down: one JSON line a logged step, and the same numbers for TensorBoard."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import torch
from torch.utils.tensorboard import SummaryWriter

from avrep.training.loop import StepRecord
from avrep.training.step_clock import StepTimes
from avrep.training.verdict import verdict
from avrep.types import StageTimes


class Recorder:
    """Appends to `metrics.jsonl` and `tensorboard/` of a run folder; a context manager.

    Args:
        run_dir: the run's folder.
        steps_done: of the run that goes on. What TensorBoard was told of later ones is of weights
            that are gone, and is hidden; of the lines, `avrep.resume.forget_after` takes care.
    """

    def __init__(self, run_dir: Path, steps_done: int = 0) -> None:
        run_dir.mkdir(parents=True, exist_ok=True)
        self._lines = (run_dir / "metrics.jsonl").open("a", encoding="utf-8")
        # Steps are told of by how many are done, so the first to come is the one after these.
        self._board = SummaryWriter(str(run_dir / "tensorboard"), purge_step=steps_done + 1)

    def write(self, step: int, numbers: Mapping[str, float | str]) -> None:
        self._lines.write(json.dumps({"step": step, **numbers}) + "\n")
        self._lines.flush()
        for name, value in numbers.items():
            if not isinstance(value, str):
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


def numbers(window: Sequence[StepRecord]) -> dict[str, float | str]:
    """What is written for the steps since the last line: speed over all, the rest of the last."""
    last = window[-1]
    elapsed_s = sum(record.elapsed_s for record in window)
    num_decoders = last.batch.num_decoders_in_all
    return {
        "total_steps": last.total_steps,
        "loss": last.result.loss,
        "lr": last.lr,
        "grad_norm": last.result.grad_norm,
        "clips_per_s": sum(record.num_clips for record in window) / elapsed_s,
        "wait_share": sum(record.wait_s for record in window) / elapsed_s,
        "elapsed_s": elapsed_s,
        **({"decode_actors": num_decoders} if num_decoders else {}),
        **_time_numbers(window),
        **last.result.metrics,
        **last.health,
    }


def memory_numbers(device: torch.device) -> dict[str, float | str]:
    """Of a GPU: the most that tensors took at once since the run began, and what there is."""
    if device.type != "cuda":
        return {}
    return {
        "gpu_peak_bytes": torch.cuda.max_memory_allocated(device),
        "gpu_bytes": torch.cuda.get_device_properties(device).total_memory,
    }


def _time_numbers(window: Sequence[StepRecord]) -> dict[str, float | str]:
    """Seconds of a step, on average, and the bottleneck's name.

    `step_*_s` are the trainer's own and sum to the step. `stream_*_s` are what making the step's
    batch cost, summed over its items, wherever it was done: with several decode actors they may
    come to more than the step.
    """
    times = sum((record.times for record in window), StepTimes())
    spent = sum((record.batch.spent_in_all for record in window), StageTimes())
    found = verdict(times, spent)
    if found is None:
        return {}
    return {
        "bottleneck": str(found.bottleneck),
        "step_wait_s": times.wait_s / times.num_steps,
        "step_transfer_s": times.transfer_s / times.num_steps,
        "step_augment_s": times.augment_s / times.num_steps,
        "step_compute_s": times.compute_s / times.num_steps,
        "step_other_s": times.other_s / times.num_steps,
        "stream_storage_s": spent.storage_s / len(window),
        "stream_demux_s": spent.demux_s / len(window),
        "stream_decode_s": spent.decode_s / len(window),
        "stream_convert_s": spent.convert_s / len(window),
    }
