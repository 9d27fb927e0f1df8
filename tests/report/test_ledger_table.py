"""The ledger's table and verdict: each count with its faults, one sentence, within 80 columns."""

import json
from pathlib import Path

import pytest
from rich.console import Console

from avrep.config import dump_config, parse_config
from avrep.errors import ConfigError
from avrep.pipeline.ledger_report import LedgerFault, LedgerReport, LedgerTally
from avrep.report.ledger_table import audit_run, ledger_table, ledger_verdict

WHOLE = LedgerReport(
    num_steps=400,
    num_items=12_800,
    num_substitutes=3,
    num_missing=0,
    num_doubled=0,
    num_wrong=0,
    num_out_of_place=0,
    faults=(),
)
FAULTY = LedgerReport(
    num_steps=400,
    num_items=12_799,
    num_substitutes=1,
    num_missing=1301,
    num_doubled=0,
    num_wrong=2,
    num_out_of_place=0,
    faults=(
        LedgerFault(kind="missing", step=1300, place=7, found="no row"),
        LedgerFault(kind="wrong", step=12, place=3, found="evil\x1b[2J[bold].mp4 (epoch 0)"),
    ),
)


def render(report: LedgerReport, width: int) -> list[str]:
    console = Console(width=width)
    with console.capture() as capture:
        console.print(ledger_table(report))
    return capture.get().splitlines()


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("report", [WHOLE, FAULTY])
def test_every_count_has_a_line_that_fits(report: LedgerReport, width: int) -> None:
    lines = render(report, width)
    assert max(map(len, lines)) <= width
    found = [line.split("  ")[0] for line in lines if line[0] != " "]
    assert found == [
        *("steps", "items", "substitutes"),
        *("missing", "doubled", "wrong", "out of place"),
    ]


def test_faults_stand_under_their_kind_and_are_not_obeyed() -> None:
    lines = [line.strip() for line in render(FAULTY, 120)]
    missing = next(i for i, line in enumerate(lines) if line.startswith("missing"))
    assert lines[missing].split()[1] == "1,301"
    assert lines[missing + 1] == "step 1,300, place 7: no row"
    wrong = next(i for i, line in enumerate(lines) if line.startswith("wrong"))
    assert lines[wrong + 1] == "step 12, place 3: evil?[2J[bold].mp4 (epoch 0)"


def test_the_verdict_is_one_sentence() -> None:
    assert ledger_verdict(WHOLE) == (
        "every planned item reached the trainer once: 12,800 items in 400 steps, 3 substitutes"
    )
    assert ledger_verdict(FAULTY) == "the ledger is not what was planned: 1,301 missing, 2 wrong"


def test_a_tally_keeps_the_first_few_of_each_kind() -> None:
    tally = LedgerTally()
    tally.count("wrong", 2, ((step, 0, "a") for step in range(2)))
    tally.count("missing", 1, [(9, 1, "b")])
    drawn: list[int] = []
    tally.count("wrong", 50, ((drawn.append(step) or step, 0, "c") for step in range(5, 55)))
    report = tally.report(3)
    assert [(fault.kind, fault.step) for fault in report.faults] == [
        *(("missing", 9),),
        *(("wrong", 0), ("wrong", 1), ("wrong", 5)),
    ]
    assert (report.num_missing, report.num_wrong, report.num_doubled) == (1, 52, 0)
    assert drawn == [5]
    assert not report.is_whole


def test_the_catalogue_must_be_the_runs(tiny_run: Path, tmp_path: Path) -> None:
    """A run whose checkpoint speaks of other items than the catalogue gives."""
    checkpoint = tmp_path / "checkpoints" / "step-00000002"
    checkpoint.mkdir(parents=True)
    newest = tiny_run / "checkpoints" / "step-00000006" / "state.json"
    state = json.loads(newest.read_text())
    (checkpoint / "state.json").write_text(json.dumps({**state, "data_digest": "0"}))
    config = parse_config(state["config"], "test")
    (tmp_path / "config.yaml").write_text(dump_config(config))
    with pytest.raises(ConfigError, match="gives other items than those that"):
        audit_run(tmp_path)
