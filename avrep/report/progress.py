"""How far it is: bars on a terminal, plain lines in a log. Imports no torch, which takes seconds."""

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

_PLAIN_EVERY_S = 10.0
_BAR_WIDTH = 24


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
    with progress_bar(console, (TextColumn(unit), TimeRemainingColumn())) as bar:
        task = bar.add_task(title, total=None)
        plain = PlainLines(console)

        def update(num_done: int, num_all: int) -> None:
            bar.update(task, completed=num_done, total=num_all)
            plain.say(f"{title} {num_done}/{num_all} {unit}", last=num_done == num_all)

        yield update


@contextmanager
def stage_progress() -> Iterator[Callable[[str, int, int], None]]:
    """A bar for each stage of a longer job; the function yielded is told (stage, number done, in all)."""
    console = Console(stderr=True)
    with progress_bar(console, (TimeRemainingColumn(),)) as bar:
        tasks: dict[str, TaskID] = {}
        plain = PlainLines(console)

        def update(stage: str, num_done: int, num_all: int) -> None:
            if stage not in tasks:
                tasks[stage] = bar.add_task(stage, total=None)
            bar.update(tasks[stage], completed=num_done, total=num_all)
            plain.say(f"{stage} {num_done}/{num_all}", last=num_done == num_all)

        yield update


def progress_bar(
    console: Console, columns: Sequence[ProgressColumn], bar_width: int = _BAR_WIDTH
) -> Progress:
    """Title, bar, count and further columns; the bar is left out where it would be too short to read."""
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


class PlainLines:
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
