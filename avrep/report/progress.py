"""How far it is: bars on a terminal, plain lines in a log."""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

from avrep.report.train_facts import FactsOfLines, FactsOfRecords, TrainFacts
from avrep.training.loop import StepRecord

_PLAIN_EVERY_S = 10.0
_BAR_WIDTH = 24
# Of all that stands beside title and bar while training, at its longest.
_FACTS_WIDTH = 84


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
    with _bar(console, (TextColumn(unit), TimeRemainingColumn())) as bar:
        task = bar.add_task(title, total=None)
        plain = _PlainLines(console)

        def update(num_done: int, num_all: int) -> None:
            bar.update(task, completed=num_done, total=num_all)
            plain.say(f"{title} {num_done}/{num_all} {unit}", last=num_done == num_all)

        yield update


@contextmanager
def stage_progress() -> Iterator[Callable[[str, int, int], None]]:
    """A bar for each stage of a longer job; the function yielded is told (stage, number done, in all)."""
    console = Console(stderr=True)
    with _bar(console, (TimeRemainingColumn(),)) as bar:
        tasks: dict[str, TaskID] = {}
        plain = _PlainLines(console)

        def update(stage: str, num_done: int, num_all: int) -> None:
            if stage not in tasks:
                tasks[stage] = bar.add_task(stage, total=None)
            bar.update(tasks[stage], completed=num_done, total=num_all)
            plain.say(f"{stage} {num_done}/{num_all}", last=num_done == num_all)

        yield update


@contextmanager
def train_progress(title: str) -> Iterator[Callable[[StepRecord], None]]:
    """Show loss, speed, what is waited for, GPU memory and time left; takes each record."""
    facts = FactsOfRecords()
    with _training(title, "starting") as show:
        yield lambda record: show(facts.after(record))


@contextmanager
def line_progress(title: str) -> Iterator[Callable[[str], None]]:
    """The same from a run's metrics, for training that goes on elsewhere; takes each line of them."""
    facts = FactsOfLines()
    with _training(title, "starting the trainers") as show:
        yield lambda line: show(facts.after(line))


@contextmanager
def _training(title: str, at_first: str) -> Iterator[Callable[[TrainFacts], None]]:
    console = Console(stderr=True)
    bar_width = console.width - len(title) - _FACTS_WIDTH
    columns = TextColumn("{task.fields[facts]}"), TextColumn("{task.fields[left]}")
    with _bar(console, columns, bar_width) as bar:
        task = bar.add_task(title, total=None, facts=at_first, left="-:--:--")
        plain = _PlainLines(console)

        def show(facts: TrainFacts) -> None:
            step, total = facts.step, facts.total_steps
            beside = f"{title} {total}/{total}  0:00:00 "
            shown = facts.fitting(console.width - len(beside))
            bar.update(task, completed=step, total=total, facts=shown, left=facts.left)
            line = f"{title} {step}/{total} {'  '.join(facts.parts)}  {facts.left} left"
            plain.say(line, last=step == total)

        yield show


def _bar(
    console: Console, columns: Sequence[ProgressColumn], bar_width: int = _BAR_WIDTH
) -> Progress:
    """Left out where a bar would be too short to read, so that the facts have the room."""
    bar = [BarColumn(bar_width=min(bar_width, _BAR_WIDTH))] if bar_width >= 8 else []
    return Progress(
        TextColumn("{task.description}"),
        *bar,
        MofNCompleteColumn(),
        *columns,
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
