"""A run's ledger, checked, as a person reads it on a terminal."""

from collections.abc import Callable
from pathlib import Path

from rich.table import Table
from rich.text import Text

from avrep.assemble import build_objective, corpus_folder, data_digest, training_sources
from avrep.errors import ConfigError
from avrep.pipeline.ledger_check import check_ledger
from avrep.pipeline.ledger_report import LedgerReport
from avrep.pipeline.plan import Plan
from avrep.trained import checkpoints, read_run_config
from avrep.training.checkpoint import read_state


def audit_run(
    run_dir: Path, progress: Callable[[int, int], None] | None = None
) -> dict[str, LedgerReport]:
    """Check the ledger of each corpus of a run against the plan that its config describes.

    Raises:
        ConfigError: the folder holds no run or no ledger, or the catalogue gives other items than
            those that the run was made with.
    """
    config = read_run_config(run_dir)
    sources = training_sources(config, build_objective(config))
    num_steps = 0
    if found := checkpoints(run_dir):
        state = read_state(found[-1])
        num_steps = state.step
        if state.data_digest != data_digest(sources.values()):
            paths = " or ".join(str(source.catalog.path) for source in sources.values())
            raise ConfigError(
                f"{paths} gives other items than those that {run_dir} was made with; "
                "a ledger can only be checked with the same catalogue and filters"
            )
    reports: dict[str, LedgerReport] = {}
    for name, source in sources.items():
        assert isinstance(source.plan, Plan)
        folder = corpus_folder(run_dir, name)
        reports[name] = check_ledger(
            folder, source.plan, source.catalog, num_steps=num_steps, progress=progress
        )
    return reports


def ledger_table(report: LedgerReport) -> Table:
    """The counts, what each means, and the first faults of each kind."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
    table.add_column("", no_wrap=True)
    table.add_column("", justify="right", no_wrap=True)
    table.add_column("", overflow="fold")
    table.add_row("steps", f"{report.num_steps:,}", Text("of the plan", style="dim"))
    table.add_row("items", f"{report.num_items:,}", Text("reached the trainer", style="dim"))
    standing_in = Text("stood in for items that could not be used", style="dim")
    table.add_row("substitutes", f"{report.num_substitutes:,}", standing_in)
    for kind, count, meaning in (
        ("missing", report.num_missing, "planned, and not there"),
        ("doubled", report.num_doubled, "there once more"),
        ("wrong", report.num_wrong, "neither planned there nor a substitute, or by another name"),
        ("out of place", report.num_out_of_place, "planned for another place, step or rank"),
    ):
        said = Text(meaning, style="dim")
        for fault in report.faults:
            if fault.kind == kind:
                where = f"\nstep {fault.step:,}, place {fault.place:,}: {fault.found}"
                said.append("".join(c if c.isprintable() or c == "\n" else "?" for c in where))
        style = "bold red" if count else ""
        table.add_row(Text(kind, style=style), Text(f"{count:,}", style=style), said)
    return table


def ledger_verdict(report: LedgerReport) -> str:
    """The finding in one sentence."""
    if report.is_whole:
        return (
            f"every planned item reached the trainer once: {_count(report.num_items, 'item')} in "
            f"{_count(report.num_steps, 'step')}, {_count(report.num_substitutes, 'substitute')}"
        )
    faults = (
        ("missing", report.num_missing),
        ("doubled", report.num_doubled),
        ("wrong", report.num_wrong),
        ("out of place", report.num_out_of_place),
    )
    listed = ", ".join(f"{count:,} {kind}" for kind, count in faults if count)
    return f"the ledger is not what was planned: {listed}"


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
