"""How far a training is, from its records or from its metrics' lines."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import TextColumn

from avrep.report.progress import PlainLines, progress_bar
from avrep.report.train_facts import FactsOfLines, FactsOfRecords, TrainFacts
from avrep.training.loop import StepRecord

# Of all that stands beside title and bar while training, at its longest.
_FACTS_WIDTH = 84


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
    with progress_bar(console, columns, bar_width) as bar:
        task = bar.add_task(title, total=None, facts=at_first, left="-:--:--")
        plain = PlainLines(console)

        def show(facts: TrainFacts) -> None:
            step, total = facts.step, facts.total_steps
            beside = f"{title} {total}/{total}  0:00:00 "
            shown = facts.fitting(console.width - len(beside))
            bar.update(task, completed=step, total=total, facts=shown, left=facts.left)
            line = f"{title} {step}/{total} {'  '.join(facts.parts)}  {facts.left} left"
            plain.say(line, last=step == total)

        yield show
