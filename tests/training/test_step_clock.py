"""Every step's parts are told of once, with the right seconds, and no device is waited for."""

from collections.abc import Iterator
from itertools import count
from types import SimpleNamespace

import pytest
import torch

from avrep.training import timers
from avrep.training.step_clock import StepClock, StepTimes
from avrep.training.timers import CudaTimer, HostTimer, clock_for


class ScriptedTimer:
    """A device whose instants come from a script and pass when the test says so."""

    def __init__(self, instants_s: list[float]) -> None:
        self._instants_s = iter(instants_s)
        self.time_s = 0.0
        self.waited_for: list[float] = []

    def now(self) -> float:
        return next(self._instants_s)

    def passed(self, instant: float, /) -> bool:
        return instant <= self.time_s

    def wait_for(self, instant: float, /) -> None:
        self.waited_for.append(instant)
        self.time_s = max(self.time_s, instant)

    def between_s(self, first: float, last: float, /) -> float:
        assert max(first, last) <= self.time_s, "read before it passed"
        return last - first


def run_step(
    clock: StepClock[float], wait_s: float, elapsed_s: float, *, complete: bool = False
) -> StepTimes:
    clock.start()
    clock.lap("transfer")
    clock.lap("augment")
    clock.lap("compute")
    return clock.finish(wait_s, elapsed_s, complete=complete)


FIRST = [1.0, 1.25, 1.75, 3.75]
SECOND = [5.0, 5.5, 6.0, 9.0]
THIRD = [10.0, 10.125, 10.25, 11.25]


def test_parts_of_a_step_worked_by_hand() -> None:
    timer = ScriptedTimer(FIRST)
    timer.time_s = 100
    times = run_step(StepClock(timer), wait_s=1.0, elapsed_s=4.0)
    assert times == StepTimes(
        num_steps=1, elapsed_s=4, wait_s=1, transfer_s=0.25, augment_s=0.5, compute_s=2
    )
    assert times.other_s == 0.25


def test_a_device_that_runs_behind_is_told_of_later_and_not_waited_for() -> None:
    timer = ScriptedTimer([*FIRST, *SECOND, *THIRD])
    clock = StepClock(timer)
    timer.time_s = 3.0
    assert run_step(clock, 1.0, 4.0) == StepTimes()
    timer.time_s = 8.0
    second = run_step(clock, 1.5, 5.0)
    assert (second.num_steps, second.wait_s, second.compute_s) == (1, 1.0, 2.0)
    assert timer.waited_for == []
    timer.time_s = 9.5
    third = run_step(clock, 0.5, 3.0, complete=True)
    assert timer.waited_for == [11.25]
    assert third == StepTimes(
        num_steps=2, elapsed_s=8, wait_s=2, transfer_s=0.625, augment_s=0.625, compute_s=4
    )


def test_nothing_is_lost_or_counted_twice_however_the_device_lags() -> None:
    steps = [[10.0 * i, 10.0 * i + 1, 10.0 * i + 3, 10.0 * i + 7] for i in range(40)]
    timer = ScriptedTimer([instant for step in steps for instant in step])
    clock = StepClock(timer)
    total = StepTimes()
    for i in range(40):
        timer.time_s = max(timer.time_s, 10.0 * (i - i % 5))
        total += run_step(clock, 1.0, 10.0, complete=i == 39)
    assert total == StepTimes(
        num_steps=40, elapsed_s=400, wait_s=40, transfer_s=40, augment_s=80, compute_s=160
    )


def test_the_host_has_done_what_it_was_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = count()
    clock = SimpleNamespace(perf_counter=lambda: float(next(ticks)))
    monkeypatch.setattr(timers, "time", clock)
    times = run_step(StepClock(HostTimer()), wait_s=1, elapsed_s=5)
    assert times == StepTimes(
        num_steps=1, elapsed_s=5, wait_s=1, transfer_s=1, augment_s=1, compute_s=1
    )


class FakeEvent:
    """What `CudaTimer` may rely on: stamped in a stream's order, read in milliseconds."""

    stamps_ms: Iterator[float]
    done_ms = 0.0

    def __init__(self, *, enable_timing: bool) -> None:
        assert enable_timing
        self.stamp_ms = -1.0

    def record(self, stream: str) -> None:
        assert stream == "stream of cuda:1"
        self.stamp_ms = next(self.stamps_ms)

    def query(self) -> bool:
        return self.stamp_ms <= FakeEvent.done_ms

    def synchronize(self) -> None:
        FakeEvent.done_ms = max(FakeEvent.done_ms, self.stamp_ms)

    def elapsed_time(self, later: "FakeEvent") -> float:
        assert self.query()
        assert later.query()
        return later.stamp_ms - self.stamp_ms


def test_a_gpus_milliseconds_become_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    FakeEvent.stamps_ms = iter([10.0, 20.0, 50.0, 1050.0, 2000.0, 2000.0, 2000.0, 2500.0])
    cuda = SimpleNamespace(Event=FakeEvent, current_stream=lambda device: f"stream of {device}")
    monkeypatch.setattr(torch, "cuda", cuda)
    clock = clock_for(torch.device("cuda:1"))
    told = []
    for complete in (False, True):
        clock.start()
        for part in ("transfer", "augment", "compute"):
            clock.lap(part)
        told.append(clock.finish(0.25, 2.0, complete=complete))
    assert told[0] == StepTimes()
    assert told[1].num_steps == 2
    assert told[1].transfer_s == pytest.approx(0.010)
    assert told[1].augment_s == pytest.approx(0.030)
    assert told[1].compute_s == pytest.approx(1.5)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_a_gpus_work_is_counted_where_it_was_done() -> None:
    device = torch.device("cuda", 0)
    clock = StepClock(CudaTimer(device))
    matrix = torch.randn(4096, 4096, device=device)
    total = StepTimes()
    for last in (False, True):
        clock.start()
        clock.lap("transfer")
        clock.lap("augment")
        for _ in range(30):
            torch.mm(matrix, matrix)
        clock.lap("compute")
        total += clock.finish(0.0, 1.0, complete=last)
    assert total.num_steps == 2
    assert total.compute_s > 100 * total.augment_s
