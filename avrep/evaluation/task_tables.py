"""Results of several encoders as one table: for a terminal, as Markdown, as rows of LaTeX."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from avrep.evaluation.published import Published, published_for
from avrep.evaluation.task_result import Metric, TaskResult


class Column(NamedTuple):
    """What numbers below one another are of."""

    task: str
    part: str
    protocol: str
    metric: str

    @property
    def title(self) -> str:
        return " ".join(filter(None, (self.task, self.part, self.protocol_title, self.metric)))

    @property
    def protocol_title(self) -> str:
        """Nothing where the task's name says it."""
        return "" if self.task.startswith(f"{self.protocol}/") else self.protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """A number of one encoder."""

    metric: Metric
    mark: str = ""
    """Refers to a note of the table."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskTable:
    """Encoders in rows, tasks in columns, both in the order in which they came."""

    encoders: tuple[str, ...]
    columns: tuple[Column, ...]
    cells: dict[tuple[str, Column], Cell]
    notes: tuple[str, ...]
    """What makes numbers of one column not quite comparable, and what results say of themselves."""
    published: tuple[Published, ...]

    def best(self, column: Column) -> set[str]:
        """The encoders whose number is the column's best; none where no other number is beaten."""
        found = {
            name: self.cells[name, column] for name in self.encoders if (name, column) in self.cells
        }
        values = {
            name: cell.metric.value * (1 if cell.metric.higher_is_better else -1)
            for name, cell in found.items()
        }
        if len(set(values.values())) < 2:
            return set()
        top = max(values.values())
        return {name for name, value in values.items() if value == top}


def tabulate(results: Sequence[TaskResult], *, all_metrics: bool = False) -> TaskTable:
    """Put results together.

    Of two results of the same encoder, task, part and protocol the later in the sequence counts.

    Args:
        results: of any encoders and tasks.
        all_metrics: with every metric; otherwise each result's first.
    """
    cells: dict[tuple[str, Column], Cell] = {}
    columns: dict[Column, TaskResult] = {}
    notes: list[str] = []
    for result in results:
        for metric in result.metrics if all_metrics else result.metrics[:1]:
            column = Column(result.task, result.data.part, result.protocol, metric.name)
            first = columns.setdefault(column, result)
            differs = _difference(first, result, column)
            if differs and differs not in notes:
                notes.append(differs)
            mark = _mark(notes.index(differs)) if differs else ""
            cells[result.encoder.name, column] = Cell(metric=metric, mark=mark)
    encoders = tuple(dict.fromkeys(result.encoder.name for result in results))
    marked = [f"{_mark(number)} {note}" for number, note in enumerate(notes)]
    told = dict.fromkeys(f"{result.task}: {note}" for result in results for note in result.notes)
    return TaskTable(
        encoders=encoders,
        columns=tuple(columns),
        cells=cells,
        notes=(*marked, *told),
        published=tuple(
            figure
            for column in columns
            for figure in published_for(column.task, column.protocol, column.metric)
        ),
    )


def markdown(table: TaskTable) -> str:
    """The table, its notes and the published figures, as GitHub shows them."""
    head = ["encoder", *(column.title for column in table.columns)]
    lines = [_row(head), _row(["---", *("---:" for _ in table.columns)])]
    lines += [
        _row([_plain(name), *(_markdown_cell(table, name, c) for c in table.columns)])
        for name in table.encoders
    ]
    if table.published:
        lines += ["", _row(["published", "task", "metric", "value", "source"])]
        lines.append(_row(["---", "---", "---", "---:", "---"]))
        lines += [
            _row([_plain(each.encoder), f"{each.task} {each.protocol}", each.metric, *_said(each)])
            for each in table.published
        ]
    return "\n".join([*lines, "", *(f"{_plain(note)}  " for note in table.notes)]).rstrip() + "\n"


def latex(table: TaskTable) -> str:
    """Rows for `booktabs`: the column titles in a comment, best numbers bold, intervals as indices."""
    lines = ["% encoder & " + " & ".join(column.title for column in table.columns)]
    for name in table.encoders:
        cells = [_latex_cell(table, name, column) for column in table.columns]
        lines.append(" & ".join([_escaped(name), *cells]) + r" \\")
    lines += [f"% {note}" for note in table.notes]
    return "\n".join(lines) + "\n"


def shown(metric: Metric) -> str:
    """A number as the field writes it: 84.3 of a fraction, 0.012 of what is none."""
    return f"{100 * metric.value:.1f}" if metric.in_percent else f"{metric.value:.3f}"


def interval(metric: Metric) -> str:
    """Both ends of its interval, likewise."""
    if metric.in_percent:
        return f"{100 * metric.ci_low:.1f}, {100 * metric.ci_high:.1f}"
    return f"{metric.ci_low:.3f}, {metric.ci_high:.3f}"


def _difference(first: TaskResult, other: TaskResult, column: Column) -> str:
    """Why two results of one column cannot be compared without a word; "" where they can."""
    if first.protocol_version != other.protocol_version:
        return (
            f"{column.title}: by version {other.protocol_version} of the protocol, not "
            f"{first.protocol_version} as above"
        )
    if first.data.digest != other.data.digest:
        return f"{column.title}: on other lists of items than above"
    return ""


def _mark(number: int) -> str:
    return "*" * (number + 1)


def _markdown_cell(table: TaskTable, name: str, column: Column) -> str:
    cell = table.cells.get((name, column))
    if cell is None:
        return ""
    value = shown(cell.metric)
    bold = f"**{value}**" if name in table.best(column) else value
    return f"{bold}{_plain(cell.mark)} [{interval(cell.metric)}]"


def _latex_cell(table: TaskTable, name: str, column: Column) -> str:
    cell = table.cells.get((name, column))
    if cell is None:
        return "--"
    value = shown(cell.metric)
    bold = rf"\textbf{{{value}}}" if name in table.best(column) else value
    low, high = interval(cell.metric).split(", ")
    return rf"{bold}{cell.mark}\,{{\scriptsize[{low}, {high}]}}"


def _said(figure: Published) -> tuple[str, str]:
    note = f" ({figure.note})" if figure.note else ""
    return f"{100 * figure.value:.1f}", _plain(figure.source + note)


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _plain(text: str) -> str:
    """Text that Markdown shows as it is."""
    for character in "\\`*_|[]<>":
        text = text.replace(character, f"\\{character}")
    return " ".join(text.split())


_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{character: f"\\{character}" for character in "&%$#_{}"},
}


def _escaped(text: str) -> str:
    return "".join(_LATEX.get(character, character) for character in " ".join(text.split()))
