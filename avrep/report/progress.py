"""How far it is: bars on a terminal, plain lines in a log."""

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)

from avrep.training.loop import StepRecord
from avrep.training.step_clock import StepTimes
from avrep.training.verdict import Verdict, verdict
from avrep.types import StageTimes

_PLAIN_EVERY_S = 10.0
_SMOOTHING = 0.9
_BAR_WIDTH = 24
# Of all that stands beside title and bar while training, at its longest.
_FACTS_WIDTH = 84
# A verdict is over at least so many steps and seconds, and stands until there are so many again.
_WINDOW_STEPS = 5
_WINDOW_S = 2.0


@contextmanager
def waiting(what: str) -> Iterator[None]:
    """Say what is being waited for while the context lasts; for work whose length is not known."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield
        return
    with console.status(what):
        yield


@contextmanager
def count_progress(title: str, unit: str) -> Iterator[Callable[[int, int], None]]:
    """Show "title 12/340 unit"; the function yielded is told (number done, number in all)."""
    console = Console(stderr=True)
    with _bar(console, TextColumn(unit)) as bar:
        task = bar.add_task(title, total=None)
        plain = _PlainLines(console)

        def update(num_done: int, num_all: int) -> None:
            bar.update(task, completed=num_done, total=num_all)
            plain.say(f"{title} {num_done}/{num_all} {unit}", last=num_done == num_all)

        yield update


@contextmanager
def train_progress(title: str) -> Iterator[Callable[[StepRecord], None]]:
    """Show loss, speed, what is waited for and time left; the function yielded takes each record."""
    console = Console(stderr=True)
    bar_width = console.width - len(title) - _FACTS_WIDTH
    with _bar(console, TextColumn("{task.fields[facts]}"), bar_width) as bar:
        task = bar.add_task(title, total=None, facts="starting")
        plain = _PlainLines(console)
        smooth = _Smooth()
        window = _Window()

        def on_step(record: StepRecord) -> None:
            smooth.add(record)
            window.add(record)
            facts = (smooth.loss(), smooth.speed(), str(window.verdict or "starting"))
            beside = f"{title} {record.total_steps}/{record.total_steps}  0:00:00 "
            shown = _fitting(facts, console.width - len(beside))
            bar.update(task, completed=record.step, total=record.total_steps, facts=shown)
            line = f"{title} {record.step}/{record.total_steps} {'  '.join(facts)}"
            plain.say(f"{line}  {smooth.left(record)} left", last=record.step == record.total_steps)

        yield on_step


@contextmanager
def line_progress(title: str) -> Iterator[Callable[[str], None]]:
    """The same from a run's metrics, for training that goes on elsewhere: takes each line of them."""
    console = Console(stderr=True)
    bar_width = console.width - len(title) - _FACTS_WIDTH
    with _bar(console, TextColumn("{task.fields[facts]}"), bar_width) as bar:
        task = bar.add_task(title, total=None, facts="starting the trainers")
        plain = _PlainLines(console)

        def on_line(line: str) -> None:
            told = json.loads(line)
            step, total = int(told["step"]), int(told["total_steps"])
            facts = f"loss {told['loss']:.3f}  {told['clips_per_s']:.1f} clips/s"
            bar.update(task, completed=step, total=total, facts=facts)
            plain.say(f"{title} {step}/{total} {facts}", last=step == total)

        yield on_line


def _fitting(facts: tuple[str, str, str], room: int) -> str:
    """Loss, speed and verdict side by side; on a narrow terminal the speed gives way."""
    whole = "  ".join(facts)
    return whole if len(whole) <= room else "  ".join((facts[0], facts[2]))


def _bar(console: Console, facts: TextColumn, bar_width: int = _BAR_WIDTH) -> Progress:
    """Left out where a bar would be too short to read, so that the facts have the room."""
    bar = [BarColumn(bar_width=min(bar_width, _BAR_WIDTH))] if bar_width >= 8 else []
    return Progress(
        TextColumn("{task.description}"),
        *bar,
        MofNCompleteColumn(),
        facts,
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
        transient=False,
    )


class _PlainLines:
    """Says a line now and then where there is no terminal to draw on."""

    def __init__(self, console: Console) -> None:
        self._silent = console.is_terminal
        self._said_s = time.monotonic()

    def say(self, line: str, *, last: bool) -> None:
        now_s = time.monotonic()
        if self._silent or not (last or now_s - self._said_s >= _PLAIN_EVERY_S):
            return
        self._said_s = now_s
        print(line, file=sys.stderr, flush=True)


class _Smooth:
    """Exponential means over steps."""

    def __init__(self) -> None:
        self._loss = self._step_s = self._clips = 0.0
        self._weight = 0.0

    def add(self, record: StepRecord) -> None:
        self._weight = _SMOOTHING * self._weight + 1 - _SMOOTHING
        self._loss = _mean(self._loss, record.result.loss)
        self._step_s = _mean(self._step_s, record.elapsed_s)
        self._clips = _mean(self._clips, record.num_clips)

    def loss(self) -> str:
        return f"loss {self._loss / self._weight:.3f}"

    def speed(self) -> str:
        return f"{self._clips / self._step_s:.1f} clips/s"

    def left(self, record: StepRecord) -> str:
        left_s = (record.total_steps - record.step) * self._step_s / self._weight
        return f"{int(left_s // 60)}:{int(left_s % 60):02d}"


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


def _mean(old: float, new: float) -> float:
    return _SMOOTHING * old + (1 - _SMOOTHING) * new
