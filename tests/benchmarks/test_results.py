"""Ratios, spreads and verdicts against values worked by hand; the files come back as written."""

import dataclasses
from pathlib import Path

import pytest

from benchmarks.contenders import BOUND_UNION, PACKED, PLAIN, PROCESSES, PYTORCHVIDEO, SOURCES
from benchmarks.measure import Sample, spread
from benchmarks.report import table, write_report
from benchmarks.results import Cell, SuiteResult, ratio, read_results, write_result
from benchmarks.targets import targets

MADE = {
    "date": "2030-01-01T00:00+00:00",
    "commit": "abc",
    "processor": "one",
    "num_cores": 2,
    "memory_gib": 8.0,
    "load_before": 0.0,
    "versions": {"av": "18"},
}


def cell(name: str, *speeds: float | None, workload: str = "files") -> Cell:
    samples = tuple(
        None
        if speed is None
        else Sample(num_clips=round(speed * 10), wall_s=10.0, cpu_s=speed / 10, first_batch_s=0.5)
        for speed in speeds
    )
    return Cell(workload=workload, contender=name, samples=samples)


def video(*cells: Cell) -> SuiteResult:
    return SuiteResult(suite="video", made=MADE, settings={}, cells=cells)


def test_a_spread_is_the_median_and_the_quartiles() -> None:
    found = spread([1.0, 2.0, 3.0, 4.0, 100.0])
    assert (found.low, found.median, found.high) == (2.0, 3.0, 4.0)


def test_a_spread_of_two_values_is_the_two() -> None:
    found = spread([1.0, 3.0])
    assert (found.low, found.median, found.high) == (1.0, 2.0, 3.0)


def test_a_cell_tells_clips_a_second_and_cpu_time_of_each_clip() -> None:
    found = cell("a", 10.0, None, 30.0)
    assert found.clips_per_s.median == 20.0
    # 100 clips in 1 CPU second, 300 in 3.
    assert found.cpu_ms_per_clip.median == pytest.approx(10.0)
    assert found.first_batch_s == 0.5


def test_a_ratio_is_taken_round_by_round_so_that_a_slow_round_does_not_count() -> None:
    # The machine was ten times as slow in the second round, for both; in the third, for one only.
    found = ratio(cell("a", 40.0, 4.0, 6.0), [cell("b", 10.0, 1.0, 6.0)])
    assert found is not None
    assert (found.low, found.median, found.high) == (2.5, 4.0, 4.0)


def test_a_ratio_is_against_the_fastest_of_the_others_by_its_median() -> None:
    lucky_once = cell("b", 90.0, 1.0, 1.0)
    found = ratio(cell("a", 40.0, 40.0, 40.0), [lucky_once, cell("c", 20.0, 20.0, 20.0)])
    assert found is not None
    assert found.median == 2.0


def test_a_ratio_counts_rounds_that_both_were_measured_in() -> None:
    found = ratio(cell("a", 40.0, 40.0), [cell("b", None, 10.0)])
    assert found is not None
    assert found.median == 4.0
    assert ratio(cell("a", 40.0, None), [cell("b", None, 10.0)]) is None
    assert ratio(cell("a", 40.0), []) is None


def test_targets_are_met_and_missed_as_the_figures_say() -> None:
    result = video(
        cell(PYTORCHVIDEO[0], 10.0),
        cell(PYTORCHVIDEO[1], 12.0),
        cell(PLAIN[0], 30.0),
        cell(BOUND_UNION, 50.0),
        cell(PROCESSES, 38.0),
        cell(SOURCES, 36.0),
        cell(PACKED, 130.0),
    )
    found = {
        target.text: (round(target.ratio.median, 3), target.is_met) for target in targets(result)
    }
    assert found == {
        "sources / the better pytorchvideo": (3.0, True),
        "sources / the best plain DataLoader": (1.2, False),
        "packed / the better pytorchvideo on the sources": (10.833, True),
        "sources / the bound": (0.72, False),
        "sources on Ray / in plain processes": (0.947, True),
    }


def test_a_target_without_its_contender_is_left_out() -> None:
    result = video(cell(SOURCES, 36.0), cell(PLAIN[0], 30.0))
    assert [target.text for target in targets(result)] == ["sources / the best plain DataLoader"]


def test_results_come_back_from_their_file(tmp_path: Path) -> None:
    result = dataclasses.replace(
        video(cell("a", 10.0, None)), absent={"b": "no such package"}, facts=({"n": 1},)
    )
    write_result(tmp_path, result)
    assert read_results(tmp_path) == [result]


def test_the_page_names_ratios_verdicts_and_what_is_absent(tmp_path: Path) -> None:
    result = video(cell(PYTORCHVIDEO[0], 10.0), cell(SOURCES, 36.0), cell(PLAIN[0], 30.0))
    write_result(tmp_path, dataclasses.replace(result, absent={"decord": "not\ninstalled"}))
    page = write_report(tmp_path).read_text(encoding="utf-8")
    assert (
        "| sources / the better pytorchvideo | files | 3.60 (3.60 to 3.60) | 3 | pass | 1.00 (1.00 to 1.00) |"
        in page
    )
    assert (
        "| sources / the best plain DataLoader | files | 1.20 (1.20 to 1.20) | 1.3 | **miss** | 1.00 (1.00 to 1.00) |"
        in page
    )
    assert "- decord: not installed" in page
    assert (tmp_path / "video.png").stat().st_size > 1000


def test_a_table_is_markdown() -> None:
    assert table(("a", "b"), [("x", "1")]) == "| a | b |\n|---|---:|\n| x | 1 |"
