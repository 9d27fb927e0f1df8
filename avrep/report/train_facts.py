"""What a person is told of a training that goes on, from its records or from its metrics' lines."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from avrep.training.loop import StepRecord
from avrep.training.monitor import collapsed
from avrep.training.recorder import memory_numbers
from avrep.training.step_clock import StepTimes
from avrep.training.verdict import Verdict, verdict
from avrep.types import StageTimes

_SMOOTHING = 0.9
# A verdict is over at least so many steps and seconds, and stands until there are so many again.
_WINDOW_STEPS = 5
_WINDOW_S = 2.0
_GIB = 2**30


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainFacts:
    """How a training stands after a step."""

    step: int
    """Steps done."""
    total_steps: int
    loss: float
    clips_per_s: float
    verdict: Verdict | None
    """None before anything is measured."""
    left_s: float
    """Until the last step, at the speed of the steps so far."""
    gpu_peak_bytes: int = 0
    """The most that tensors took at once on the first trainer's GPU; 0 where it has none."""
    gpu_bytes: int = 0
    """What that GPU has."""
    collapsed: tuple[str, ...] = ()
    """Encoders that give all clips nearly the same feature."""

    @property
    def parts(self) -> tuple[str, ...]:
        """In words: loss, speed, what is waited for; then, where there is any, memory and collapse."""
        parts = [
            f"loss {self.loss:.3f}",
            f"{self.clips_per_s:.1f} clips/s",
            str(self.verdict or "starting"),
        ]
        if self.gpu_bytes:
            parts.append(f"GPU {self.gpu_peak_bytes / _GIB:.1f}/{self.gpu_bytes / _GIB:.0f} GiB")
        if self.collapsed:
            parts.append(f"COLLAPSED: {' and '.join(self.collapsed)}")
        return tuple(parts)

    @property
    def left(self) -> str:
        """Time left, "0:01:05"."""
        minutes, seconds = divmod(round(self.left_s), 60)
        return f"{minutes // 60}:{minutes % 60:02d}:{seconds:02d}"

    def fitting(self, room: int) -> str:
        """The parts side by side; where there is little room, memory gives way, then the speed."""
        loss, speed, waits, *rest = self.parts
        loud = rest[-1:] if self.collapsed else []
        for shown in ((loss, speed, waits, *rest), (loss, speed, waits, *loud)):
            if len(line := "  ".join(shown)) <= room:
                return line
        return "  ".join((loss, waits, *loud))


class FactsOfRecords:
    """Facts from the records of a training in this process: smoothed, the verdict by windows."""

    def __init__(self) -> None:
        self._loss = self._step_s = self._clips = self._weight = 0.0
        self._window = _Window()
        self._collapsed: tuple[str, ...] = ()

    def after(self, record: StepRecord) -> TrainFacts:
        """Told of each step in turn."""
        self._weight = _mean(self._weight, 1.0)
        self._loss = _mean(self._loss, record.result.loss)
        self._step_s = _mean(self._step_s, record.elapsed_s)
        self._clips = _mean(self._clips, record.num_clips)
        self._window.add(record)
        if record.health:
            self._collapsed = collapsed(record.health)
        memory = _gpu_memory()
        return TrainFacts(
            step=record.step,
            total_steps=record.total_steps,
            loss=self._loss / self._weight,
            clips_per_s=self._clips / self._step_s,
            verdict=self._window.verdict,
            left_s=(record.total_steps - record.step) * self._step_s / self._weight,
            gpu_peak_bytes=int(memory.get("gpu_peak_bytes", 0)),
            gpu_bytes=int(memory.get("gpu_bytes", 0)),
            collapsed=self._collapsed,
        )


class FactsOfLines:
    """Facts from the lines of `metrics.jsonl`, for training that goes on elsewhere.

    A line is of the steps since the line before, so nothing is smoothed.
    """

    def __init__(self) -> None:
        self._verdict: Verdict | None = None

    def after(self, line: str) -> TrainFacts:
        """Told of each line in turn."""
        told: dict[str, Any] = json.loads(line)
        step, total_steps = int(told["step"]), int(told["total_steps"])
        before = self._verdict.bottleneck if self._verdict else None
        self._verdict = verdict(*_times(told), before) or self._verdict
        return TrainFacts(
            step=step,
            total_steps=total_steps,
            loss=told["loss"],
            clips_per_s=told["clips_per_s"],
            verdict=self._verdict,
            left_s=(total_steps - step) * _step_s(told),
            gpu_peak_bytes=int(told.get("gpu_peak_bytes", 0)),
            gpu_bytes=int(told.get("gpu_bytes", 0)),
            collapsed=collapsed(told),
        )


class _Window:
    """The verdict over the last full window of steps; over what there is until the first is full."""

    def __init__(self) -> None:
        self.verdict: Verdict | None = None
        self._times, self._spent = StepTimes(), StageTimes()
        self._first = True

    def add(self, record: StepRecord) -> None:
        self._times += record.times
        self._spent += record.batch.spent_in_all
        full = self._times.num_steps >= _WINDOW_STEPS and self._times.elapsed_s >= _WINDOW_S
        if full or self._first:
            before = self.verdict.bottleneck if self.verdict else None
            self.verdict = verdict(self._times, self._spent, before) or self.verdict
        if full:
            self._times, self._spent = StepTimes(), StageTimes()
            self._first = False


def _gpu_memory() -> Mapping[str, float | str]:
    """Of the GPU that this process trains on; it touches none that nobody used."""
    if not torch.cuda.is_initialized():
        return {}
    return memory_numbers(torch.device("cuda", torch.cuda.current_device()))


def _step_s(told: Mapping[str, Any]) -> float:
    """The whole of a step, from its parts."""
    parts = ("wait", "transfer", "augment", "compute", "other")
    return sum(float(told.get(f"step_{part}_s", 0.0)) for part in parts)


def _times(told: Mapping[str, Any]) -> tuple[StepTimes, StageTimes]:
    """Of one step, as `avrep.training.recorder.numbers` wrote it."""
    times = StepTimes(
        num_steps=1,
        elapsed_s=_step_s(told),
        wait_s=told.get("step_wait_s", 0.0),
        transfer_s=told.get("step_transfer_s", 0.0),
        augment_s=told.get("step_augment_s", 0.0),
        compute_s=told.get("step_compute_s", 0.0),
    )
    spent = StageTimes(
        storage_s=told.get("stream_storage_s", 0.0),
        demux_s=told.get("stream_demux_s", 0.0),
        decode_s=told.get("stream_decode_s", 0.0),
        convert_s=told.get("stream_convert_s", 0.0),
    )
    return times, spent


def _mean(old: float, new: float) -> float:
    return _SMOOTHING * old + (1 - _SMOOTHING) * new
