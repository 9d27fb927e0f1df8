"""The page of the evaluators: of splits their mean alone, the best bold, chance where all have the same."""

from dataclasses import replace
from pathlib import Path

from avrep.evaluation.task_result import DataFacts, EncoderFacts, Metric, TaskResult
from evidence.tasks.checks import CHECKS, TRAINED, Check
from evidence.tasks.page import Measured, Spent, write_tasks_page

_CHECK = Check(
    name="some", title="Some task", task="ucf101", encoders=("a", "b"), options=(), words="Words."
)


def _metric(name: str, value: float, chance: float | None, *, in_percent: bool = True) -> Metric:
    return Metric(
        name=name,
        value=value,
        ci_low=value - 0.1,
        ci_high=value + 0.1,
        num_items=3,
        num_clusters=3,
        in_percent=in_percent,
        chance=chance,
    )


def _result(encoder: str, part: str, *metrics: Metric) -> TaskResult:
    return TaskResult(
        task="ucf101",
        protocol="linear",
        protocol_version=1,
        encoder=EncoderFacts(name=encoder, digest="e", num_parameters=1),
        data=DataFacts(name="ucf", digest="d", num_train=1, num_valid=1, num_test=1, part=part),
        metrics=metrics,
    )


def test_a_check_is_a_table(tmp_path: Path) -> None:
    results = [
        _result("a", "split 1", _metric("top1", 0.9, 0.25)),
        _result("a", "mean of 2 splits", _metric("top1", 0.5, 0.25), _metric("top1_sd", 0.2, None)),
        _result("b", "split 1", _metric("top1", 0.1, 0.25)),
        _result("b", "mean of 2 splits", _metric("top1", 0.4, 0.25)),
    ]
    spent = (
        Spent(commit="0123456", processor="one", num_cores=2, seconds=90),
        Spent(commit="fedcba9+", processor="one", num_cores=2, seconds=33),
        Spent(commit="0123456", processor="one", num_cores=2, seconds=3),
    )
    seen = Measured(check=_CHECK, results=tuple(results), spent=spent)
    write_tasks_page(tmp_path / "page.md", [_CHECK], [seen])
    lines = (tmp_path / "page.md").read_text().splitlines()
    assert lines.count("## Some task") == 1
    assert "    avrep evaluate b --task ucf101 --root DIR" in lines
    start = lines.index("| | a | b | chance |")
    assert lines[start + 2 : start + 5] == [
        "| linear top1 | **50.0 [40.0, 60.0]** | 40.0 [30.0, 50.0] | 25.0 |",
        "| linear top1_sd | 20.0 [10.0, 30.0] |  |  |",
        "",
    ]
    assert lines[-1] == "Commit 0123456, fedcba9+; one, 2 cores; 2.1 minutes."


def test_only_metrics_that_are_asked_for_are_told(tmp_path: Path) -> None:
    result = _result("a", "", _metric("top1", 0.5, 0.25), _metric("top1_sd", 0.2, None))
    seen = Measured(check=replace(_CHECK, metrics=("top1",)), results=(result,), spent=())
    write_tasks_page(tmp_path / "page.md", [_CHECK], [seen])
    text = (tmp_path / "page.md").read_text()
    assert "| linear top1 | 50.0 [40.0, 60.0] | 25.0 |" in text
    assert "top1_sd" not in text


def test_what_is_no_share_is_not_told_in_percent(tmp_path: Path) -> None:
    result = _result("a", "", _metric("mtwv", 0.053, 0.0, in_percent=False))
    seen = Measured(check=_CHECK, results=(result,), spent=())
    write_tasks_page(tmp_path / "page.md", [_CHECK], [seen])
    assert "| linear mtwv | 0.053 [-0.047, 0.153] | 0.0 |" in (tmp_path / "page.md").read_text()


def test_what_was_told_of_other_checks_stays_until_their_command_changes(tmp_path: Path) -> None:
    checks = [replace(_CHECK, title=title) for title in ("One", "Two", "Three")]
    page = tmp_path / "page.md"

    def write(check: Check, value: float, checks: list[Check]) -> list[str]:
        result = _result("a", "", _metric("top1", value, 0.25))
        write_tasks_page(page, checks, [Measured(check=check, results=(result,), spent=())])
        lines = page.read_text().splitlines()
        return [line[:20].rstrip() for line in lines if line.startswith(("## ", "| linear"))]

    for check in reversed(checks):
        write(check, 0.5, checks)
    half = "| linear top1 | 50.0"
    assert write(checks[1], 0.4, checks) == [
        "## One",
        half,
        "## Two",
        "| linear top1 | 40.0",
        "## Three",
        half,
    ]
    text = page.read_text()
    write(checks[1], 0.4, checks)
    assert page.read_text() == text
    changed = [replace(checks[0], options=("--own-data",)), *checks[1:]]
    assert write(checks[2], 0.5, changed) == ["## Two", "| linear top1 | 40.0", "## Three", half]


def test_checks_have_names_of_their_own() -> None:
    assert len({check.name for check in CHECKS}) == len(CHECKS)
    assert len({check.title for check in CHECKS}) == len(CHECKS)
    assert set().union(*(check.methods for check in CHECKS)) == set(TRAINED)
    assert all((check.write_root is None) == bool(check.media) for check in CHECKS)
