"""How far it is: bars on a terminal, plain lines in a log."""

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

_PLAIN_EVERY_S = 10.0
_SMOOTHING = 0.9


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
    """Show loss, speed, waiting and time left; the function yielded takes each step's record."""
    console = Console(stderr=True)
    with _bar(console, TextColumn("{task.fields[facts]}")) as bar:
        task = bar.add_task(title, total=None, facts="starting")
        plain = _PlainLines(console)
        smooth = _Smooth()

        def on_step(record: StepRecord) -> None:
            smooth.add(record)
            bar.update(task, completed=record.step, total=record.total_steps, facts=smooth.text())
            left = smooth.left(record)
            line = f"{title} {record.step}/{record.total_steps} {smooth.text()}  {left} left"
            plain.say(line, last=record.step == record.total_steps)

        yield on_step


def _bar(console: Console, facts: TextColumn) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
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
        self._loss = self._step_s = self._wait_s = self._clips = 0.0
        self._weight = 0.0

    def add(self, record: StepRecord) -> None:
        self._weight = _SMOOTHING * self._weight + 1 - _SMOOTHING
        self._loss = _mean(self._loss, record.result.loss)
        self._step_s = _mean(self._step_s, record.elapsed_s)
        self._wait_s = _mean(self._wait_s, record.wait_s)
        self._clips = _mean(self._clips, record.num_clips)

    def text(self) -> str:
        return (
            f"loss {self._loss / self._weight:.3f}  {self._clips / self._step_s:.1f} clips/s  "
            f"waiting {100 * self._wait_s / self._step_s:.0f} %"
        )

    def left(self, record: StepRecord) -> str:
        left_s = (record.total_steps - record.step) * self._step_s / self._weight
        return f"{int(left_s // 60)}:{int(left_s % 60):02d}"


def _mean(old: float, new: float) -> float:
    return _SMOOTHING * old + (1 - _SMOOTHING) * new
