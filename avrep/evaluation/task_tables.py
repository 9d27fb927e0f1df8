"""Results of several encoders as one table: for a terminal, as Markdown, as rows of LaTeX."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from avrep.evaluation.published import Published, published_for
from avrep.evaluation.result_differences import difference
from avrep.evaluation.table_rows import few, labelled_results, row_facts, row_labels
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
        return protocol_title(self.task, self.protocol)


def protocol_title(task: str, protocol: str) -> str:
    """The protocol, or nothing where the task's name says it: "superb/ks"."""
    return "" if task.startswith(f"{protocol}/") else protocol


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
    """Their names; of several of one name also a digest, a seed or a number."""
    columns: tuple[Column, ...]
    cells: dict[tuple[str, Column], Cell]
    notes: tuple[str, ...]
    """What makes numbers of one column not quite comparable, and what results say of themselves,
    with the encoders that it is of."""
    facts: tuple[str, ...]
    """Digests of encoders and of data, and versions of protocols."""
    published: tuple[Published, ...]
    """Of columns with a result on the official data."""

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
    """Put results together; of one name but unlike in digest, seed or else they have rows of their own.

    Args:
        results: of any encoders and tasks.
        all_metrics: with every metric; otherwise each result's first.
    """
    labelled = labelled_results(results)
    cells: dict[tuple[str, Column], Cell] = {}
    columns: dict[Column, tuple[str, TaskResult]] = {}
    marks: dict[str, str] = {}
    for label, result in labelled:
        for metric in result.metrics if all_metrics else result.metrics[:1]:
            column = Column(result.task, result.data.part, result.protocol, metric.name)
            of_first, first = columns.setdefault(column, (label, result))
            unlike = difference(first, result)
            note = f"{label}, unlike {of_first}: {unlike}"
            mark = marks.setdefault(note, _mark(len(marks))) if unlike else ""
            cells[label, column] = Cell(metric=metric, mark=mark)
    official = {
        (result.task, result.data.part) for result in results if not result.data.other_lists
    }
    figures = (
        figure
        for column in columns
        if (column.task, column.part) in official
        for figure in published_for(column.task, column.protocol, column.metric)
    )
    return TaskTable(
        encoders=row_labels(labelled),
        columns=tuple(columns),
        cells=cells,
        notes=(*(f"{mark} {note}" for note, mark in marks.items()), *_own_notes(labelled)),
        facts=row_facts(labelled),
        # The parts of a data set and their mean have them in common.
        published=tuple(dict.fromkeys(figures)),
    )


def _own_notes(labelled: Sequence[tuple[str, TaskResult]]) -> tuple[str, ...]:
    """What results say of themselves, each once, with what and whom it is of."""
    measured: dict[tuple[str, str], dict[str, None]] = {}
    whose: dict[tuple[str, str], dict[str, None]] = {}
    for label, result in labelled:
        for note in result.notes:
            measured.setdefault((result.task, note), {})[result.protocol] = None
            whose.setdefault((result.task, note), {})[label] = None
    return tuple(
        f"{' '.join(filter(None, (task, protocol_title(task, few(of)))))} of "
        f"{', '.join(whose[task, note])}: {note}"
        for (task, note), of in measured.items()
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
    for group in filter(None, (table.notes, table.facts)):
        lines += ["", *(f"{_plain(line)}  " for line in group)]
    return "\n".join(lines).rstrip() + "\n"


def latex(table: TaskTable) -> str:
    """Rows for `booktabs`: the column titles in a comment, best numbers bold, intervals as indices."""
    lines = ["% encoder & " + " & ".join(column.title for column in table.columns)]
    for name in table.encoders:
        cells = [_latex_cell(table, name, column) for column in table.columns]
        lines.append(" & ".join([_escaped(name), *cells]) + r" \\")
    lines += [f"% {' '.join(line.split())}" for line in (*table.notes, *table.facts)]
    return "\n".join(lines) + "\n"


def shown(metric: Metric) -> str:
    """A number as the field writes it: 84.3 of a fraction, 0.012 of what is none."""
    return f"{100 * metric.value:.1f}" if metric.in_percent else f"{metric.value:.3f}"


def interval(metric: Metric) -> str:
    """Both ends of its interval, likewise."""
    if metric.in_percent:
        return f"{100 * metric.ci_low:.1f}, {100 * metric.ci_high:.1f}"
    return f"{metric.ci_low:.3f}, {metric.ci_high:.3f}"


def _mark(number: int) -> str:
    """(a), (b), ..., (z), (aa), ..."""
    letters = ""
    number += 1
    while number:
        number, letter = divmod(number - 1, 26)
        letters = chr(ord("a") + letter) + letters
    return f"({letters})"


def _markdown_cell(table: TaskTable, name: str, column: Column) -> str:
    cell = table.cells.get((name, column))
    if cell is None:
        return ""
    value = shown(cell.metric)
    bold = f"**{value}**" if name in table.best(column) else value
    return f"{bold}{cell.mark and f' {cell.mark}'} [{interval(cell.metric)}]"


def _latex_cell(table: TaskTable, name: str, column: Column) -> str:
    cell = table.cells.get((name, column))
    if cell is None:
        return "--"
    value = shown(cell.metric)
    bold = rf"\textbf{{{value}}}" if name in table.best(column) else value
    low, high = interval(cell.metric).split(", ")
    mark = rf"\textsuperscript{{{cell.mark}}}" if cell.mark else ""
    return rf"{bold}{mark}\,{{\scriptsize[{low}, {high}]}}"


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
