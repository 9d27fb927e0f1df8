"""What the evaluators found, as a page."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from avrep.evaluation.task_result import TaskResult
from avrep.evaluation.task_tables import Column, TaskTable, interval, shown, tabulate
from evidence.tasks.checks import Check

_WORDS = """# The evaluators on real recordings

Written by `python -m evidence.tasks`, from what `avrep evaluate` wrote. Small sets of real recordings
are laid out as the data sets are that the evaluators read, and measured with baselines, with encoders
that `make evidence` trained, and with the same untrained. This shows that each evaluator runs from
files to figures, and whether these make sense. It does not rank encoders: these were trained for
minutes on two cores, and the tests are small, as the 95 % intervals say. Figures are percent, but for
minDCF, MTWV and ATWV.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """What a command ran on, and for how long."""

    commit: str
    processor: str
    num_cores: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What one check gave."""

    check: Check
    results: tuple[TaskResult, ...]
    spent: tuple[Spent, ...]
    """On each of its commands."""
    pictures: tuple[Path, ...] = ()
    """Below the page's folder."""


def write_tasks_page(page: Path, checks: Sequence[Check], measured: Sequence[Measured]) -> None:
    """Write the page; what it tells already of checks that were not measured now stays.

    Args:
        page: the file. Of a check whose command is another now, its section goes.
        checks: all that there are, in the order wanted.
        measured: now.
    """
    sections = _kept_sections(page)
    for each in measured:
        sections[each.check.title] = "\n".join(_section(each, page.parent)) + "\n"
    told = [
        sections[check.title]
        for check in checks
        if check.title in sections and f"\n    {check.command}\n" in sections[check.title]
    ]
    page.write_text("\n".join([_WORDS, *told]), encoding="utf-8")


def _kept_sections(page: Path) -> dict[str, str]:
    """Title -> section, each ended by one line break."""
    if not page.is_file():
        return {}
    _, *sections = page.read_text(encoding="utf-8").split("\n## ")
    return {text.split("\n", 1)[0]: f"## {text.rstrip()}\n" for text in sections}


def _section(measured: Measured, folder: Path) -> list[str]:
    check, table = measured.check, tabulate(measured.results, all_metrics=True)
    lines = [f"## {check.title}", "", check.words, "", f"    {check.command}", ""]
    lines += [f"| | {' | '.join(table.encoders)} | chance |"]
    lines += [f"|---|{'---:|' * (len(table.encoders) + 1)}"]
    lines += [_row(table, column) for column in table.columns if _is_told(column, table, check)]
    for path in measured.pictures:
        lines += ["", f"![{check.title}]({path.relative_to(folder)})"]
    return [*lines, "", _spent_words(measured.spent)]


def _spent_words(spent: Sequence[Spent]) -> str:
    """Each commit and machine once, in the order of the commands."""
    commits = dict.fromkeys(each.commit for each in spent)
    machines = dict.fromkeys(f"{each.processor}, {each.num_cores} cores" for each in spent)
    minutes = sum(each.seconds for each in spent) / 60
    return f"Commit {', '.join(commits)}; {'; '.join(machines)}; {minutes:.1f} minutes."


def _is_told(column: Column, table: TaskTable, check: Check) -> bool:
    """Of parts and their mean, the mean alone; of metrics, those that the check names."""
    parts = {other.part for other in table.columns if other[2:] == column[2:]}
    is_whole = len(parts) == 1 or column.part.startswith("mean")
    return is_whole and (not check.metrics or column.metric in check.metrics)


def _row(table: TaskTable, column: Column) -> str:
    cells = [table.cells.get((name, column)) for name in table.encoders]
    chances = {cell.metric.chance for cell in cells if cell is not None}
    best = table.best(column)
    told = []
    for name, cell in zip(table.encoders, cells, strict=True):
        value = "" if cell is None else f"{shown(cell.metric)} [{interval(cell.metric)}]"
        told.append(f"**{value}**" if name in best else value)
    metric = next(cell.metric for cell in cells if cell is not None)
    chance = chances.pop() if len(chances) == 1 else None
    scale = 100 if metric.in_percent else 1
    told.append("" if chance is None else f"{chance * scale:.1f}")
    title = " ".join(filter(None, (column.protocol_title, column.metric)))
    return f"| {title} | {' | '.join(told)} |"
