"""What an examination found: rows for a person, an exit status for a script."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from rich.table import Table
from rich.text import Text

Status = Literal["ok", "warn", "fail"]

_STYLE: dict[Status, str] = {"ok": "green", "warn": "yellow", "fail": "bold red"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at."""

    name: str
    status: Status
    """ "fail": avrep cannot work without it; "warn": something is slower or not available."""
    found: str
    mend: str = ""
    """The command, or the one thing to do, that mends it; empty when nothing needs mending."""


def findings_table(findings: Sequence[Finding]) -> Table:
    """The findings as a table for a terminal; mends stand under what they mend."""
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    table.add_column("what", no_wrap=True)
    table.add_column("")
    table.add_column("found", overflow="fold")
    for finding in findings:
        said = Text(finding.found)
        if finding.mend:
            said.append(f"\nmend: {finding.mend}", style="cyan")
        table.add_row(finding.name, Text(finding.status, style=_STYLE[finding.status]), said)
    return table


def exit_status(findings: Sequence[Finding]) -> int:
    """1 when something that avrep needs is missing or broken, 0 otherwise."""
    return int(any(finding.status == "fail" for finding in findings))
