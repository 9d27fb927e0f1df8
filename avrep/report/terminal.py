"""Tables on a terminal, narrow enough for 80 columns."""

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from avrep.evaluation.results import EvalRow
from avrep.evaluation.task_tables import TaskTable, interval, shown
from avrep.report.wording import shortened

_NAME_CHARS = 22


def print_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A table without lines."""
    table = Table(*header, box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    for row in rows:
        table.add_row(*row)
    Console().print(table)


def print_results(rows: Sequence[EvalRow]) -> None:
    """Results in percent, one line a metric; the intervals of the encoders are in the report."""
    found: dict[tuple[str, str], dict[str, EvalRow]] = {}
    # What needs no labels comes first.
    for row in sorted(rows, key=lambda row: row.protocol != "instance"):
        place = (row.label, f"{row.protocol} {row.metric}")
        found.setdefault(place, {})[row.encoder] = row
    lines = [
        (
            *place,
            *(_percent(row.get(name)) for name in ("pretrained", "untrained")),
            _with_interval(row.get("difference")),
            f"{100 * row['pretrained'].chance:.1f}",
        )
        for place, row in found.items()
    ]
    header = ("label", "protocol", "pretrained", "untrained", "difference [interval]", "chance")
    print_table(header, lines)
    if rows:
        first = rows[0]
        say = f"percent, {first.num_test} test videos; difference: pretrained - untrained"
        Console().print(f"{say}, {100 * first.confidence:.0f} % interval", style="dim")
    for note in _said_of_all([row for row in rows if row.encoder == "pretrained"]):
        Console().print(note, style="dim", highlight=False, markup=False)


def _said_of_all(rows: Sequence[EvalRow]) -> list[str]:
    """The notes that every row has: of the run and its videos, not of how one number was made."""
    notes = [row.note.split("; ") for row in rows]
    return (
        [note for note in notes[0] if note and all(note in said for said in notes)] if notes else []
    )


def print_tasks(table: TaskTable) -> None:
    """A line for each number of each encoder, those of one task together; then notes."""
    lines = []
    for column in table.columns:
        best = table.best(column)
        for name in table.encoders:
            cell = table.cells.get((name, column))
            if cell is None:
                continue
            value = f"{shown(cell.metric)} {cell.mark}".rstrip()
            chance = cell.metric.chance
            lines.append(
                (
                    column.title,
                    escape(shortened(name, _NAME_CHARS)),
                    f"[bold]{value}[/]" if name in best else value,
                    interval(cell.metric),
                    "" if chance is None else f"{100 * chance:.1f}",
                    str(cell.metric.num_items),
                )
            )
    print_table(("task", "encoder", "value", "interval", "chance", "items"), lines)
    for note in table.notes:
        Console().print(note, style="dim", highlight=False, markup=False)


def _percent(row: EvalRow | None) -> str:
    return "" if row is None else f"{100 * row.value:.1f}"


def _with_interval(row: EvalRow | None) -> str:
    if row is None:
        return ""
    return f"{100 * row.value:+.1f} [{100 * row.ci_low:+.0f}, {100 * row.ci_high:+.0f}]"
