"""A run's quarantine as a person reads it on a terminal."""

from collections import Counter
from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from avrep.pipeline.quarantine import QuarantineEntry

_MAX_ITEMS_SHOWN = 200


def quarantine_table(entries: Sequence[QuarantineEntry]) -> Table:
    """One row an item, by the step of its first failure: the narrow facts, then the long ones."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("stage", no_wrap=True)
    table.add_column("step", justify="right", no_wrap=True)
    table.add_column("tries", justify="right", no_wrap=True)
    table.add_column("item, what went wrong, where its bytes are", overflow="fold")
    for of_item in list(_by_item(entries).values())[:_MAX_ITEMS_SHOWN]:
        first = of_item[0]
        said = Text(_plain(first.key), style="bold")
        said.append(f"\n{_plain(first.reason)}", style="not bold")
        said.append(f"\n{_plain(_where(first))}", style="not bold dim")
        table.add_row(
            Text(_plain(first.stage)),
            f"{first.step:,}",
            f"{sum(entry.attempts for entry in of_item):,}",
            said,
        )
    return table


def quarantine_summary(entries: Sequence[QuarantineEntry]) -> str:
    """How many items, by the stage at which they failed; and how many the table leaves out."""
    stages = Counter(of_item[0].stage for of_item in _by_item(entries).values())
    listed = ", ".join(f"{_plain(stage)} {count:,}" for stage, count in stages.most_common())
    say = f"{count_items(stages.total())} quarantined: {listed}"
    left_out = stages.total() - _MAX_ITEMS_SHOWN
    return f"{say}; {count_items(left_out)} not shown" if left_out > 0 else say


def count_items(count: int) -> str:
    return f"{count:,} item{'' if count == 1 else 's'}"


def _by_item(entries: Sequence[QuarantineEntry]) -> dict[str, list[QuarantineEntry]]:
    found: dict[str, list[QuarantineEntry]] = {}
    for entry in entries:
        found.setdefault(entry.key, []).append(entry)
    return found


def _where(entry: QuarantineEntry) -> str:
    end = entry.offset_bytes + entry.length_bytes
    parts = [f"{entry.uri}, bytes {entry.offset_bytes:,} to {end:,}", entry.error]
    if entry.node:
        parts.append(f"on {entry.node}")
    return "; ".join(part for part in parts if part)


def _plain(text: str) -> str:
    """Text from files, which may hold what a terminal would obey."""
    return "".join(c if c.isprintable() else "?" for c in text)
