"""Tables on a terminal, narrow enough for 80 columns."""

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table

from avrep.evaluation.results import EvalRow, table_rows

_WHOLE_TABLE = ("task", "videos", "groups")
"""Columns that most often say the same on every line, and then stand above the table."""


def print_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A table without lines."""
    table = Table(*header, box=None, pad_edge=False, header_style="bold")
    for row in rows:
        table.add_row(*row)
    Console().print(table)


def print_results(rows: Sequence[EvalRow]) -> None:
    """Results in percent; what all lines have in common is said once, above them."""
    header, *lines = table_rows(rows)
    shared = {
        name: lines[0][i]
        for i, name in enumerate(header)
        if lines and name in _WHOLE_TABLE and len({line[i] for line in lines}) == 1
    }
    kept = [i for i, name in enumerate(header) if name not in shared]
    console = Console()
    if shared:
        task = shared.get("task", "")
        counts = [f"{shared[name]} {name}" for name in ("videos", "groups") if name in shared]
        console.print(", ".join([task, *counts] if task else counts), style="bold")
    print_table([header[i] for i in kept], ([line[i] for i in kept] for line in lines))
    if lines:
        confidence = rows[0].confidence
        console.print(
            f"percent, with {100 * confidence:.0f} % intervals over the test videos; "
            "difference: pretrained - untrained",
            style="dim",
        )
