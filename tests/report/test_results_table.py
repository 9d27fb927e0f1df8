"""Proves that results are compared rightly, said in plain words, and drawn where the numbers are."""

import json
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from avrep.evaluation.results import EvalRow, read_rows
from avrep.report.comparisons import Verdict, compare
from avrep.report.results_table import SCALE_PAD_PX, SCALE_WIDTH_PX, results_html, scale_top

from .run_folder import results_file, score, trio


def rows_of(tmp_path: Path, *rows: dict[str, object]) -> tuple[EvalRow, ...]:
    path = tmp_path / "rows.json"
    path.write_text(results_file(list(rows)))
    return read_rows(path)


def at_px(value: float, top: float = 1.0) -> float:
    return SCALE_PAD_PX + value / top * (SCALE_WIDTH_PX - 2 * SCALE_PAD_PX)


@pytest.mark.parametrize(
    ("value", "low", "high", "verdict"),
    [
        (0.2, 0.1, 0.3, Verdict.BETTER),
        (0.2, 0.0, 0.3, Verdict.NOT_SHOWN),
        (0.2, -0.1, 0.3, Verdict.NOT_SHOWN),
        (-0.2, -0.3, 0.0, Verdict.NOT_SHOWN),
        (-0.2, -0.3, -0.1, Verdict.WORSE),
    ],
)
def test_the_verdict_is_the_side_of_zero_that_the_interval_lies_on(
    tmp_path: Path, value: float, low: float, high: float, verdict: Verdict
) -> None:
    row = score("difference", value, 0, ci_low=low, ci_high=high)
    (comparison,) = compare(rows_of(tmp_path, row))
    assert comparison.verdict is verdict
    assert comparison.chance is None


def test_without_a_difference_no_verdict_is_made_up(tmp_path: Path) -> None:
    (comparison,) = compare(rows_of(tmp_path, *trio(0.9, 0.1, 0.01, 0.1)[:2]))
    assert comparison.verdict is Verdict.NOT_MEASURED
    assert "difference not measured" in results_html([comparison])


@pytest.mark.parametrize(("low", "clears"), [(0.24, False), (0.25, False), (0.26, True)])
def test_clearing_chance_is_the_whole_interval_above_it(
    tmp_path: Path, low: float, clears: bool
) -> None:
    row = score("pretrained", 0.3, 0, ci_low=low, ci_high=0.4, chance=0.25)
    (comparison,) = compare(rows_of(tmp_path, row))
    assert comparison.clears_chance is clears
    assert ("does not clear chance" in results_html([comparison])) is not clears


@pytest.mark.parametrize(
    "other",
    [{"label": "b"}, {"fold": 2}, {"seed": 1}, {"metric": "R@1"}, {"over": "mean of seeds"}],
)
def test_only_like_is_set_beside_like(tmp_path: Path, other: dict[str, object]) -> None:
    rows = rows_of(tmp_path, *trio(0.5, 0.4, 0.1, 0.1), *trio(0.6, 0.4, 0.1, 0.1, **other))
    comparisons = compare(rows)
    assert [len(c.rows) for c in comparisons] == [3, 3]
    assert [c.pretrained.value for c in comparisons if c.pretrained] == [0.5, 0.6]


def test_a_measurement_made_twice_is_shown_twice(tmp_path: Path) -> None:
    rows = rows_of(tmp_path, *trio(0.5, 0.4, 0.1, 0.1), *trio(0.7, 0.4, 0.1, 0.1))
    assert [c.pretrained.value for c in compare(rows) if c.pretrained] == [0.5, 0.7]


def test_every_label_is_shown_with_the_numbers_of_the_file(run_dir: Path) -> None:
    path = run_dir / "evaluation" / "linear.json"
    page = results_html(compare(read_rows(path)))
    for row in json.loads(path.read_text())["rows"]:
        sign = "+" if row["encoder"] == "difference" else ""
        assert row["label"] in page
        assert f">{row['value']:{sign}.3f}</b>" in page
        assert f"{row['ci_low']:{sign}.3f} to {row['ci_high']:{sign}.3f}" in page


def test_bars_stand_at_their_numbers(tmp_path: Path) -> None:
    rows = rows_of(tmp_path, *trio(0.8, 0.4, 0.05, 0.25))
    svg = re.findall(r"<svg.*?</svg>", results_html(compare(rows)))[1]
    parts = {part.get("class", ""): part for part in ElementTree.fromstring(svg)}
    for encoder, value in (("pretrained", 0.8), ("untrained", 0.4)):
        bar, dot = parts[f"ci {encoder}"], parts[f"dot {encoder}"]
        assert float(bar.attrib["x1"]) == pytest.approx(at_px(value - 0.05), abs=0.01)
        assert float(bar.attrib["x2"]) == pytest.approx(at_px(value + 0.05), abs=0.01)
        assert float(dot.attrib["cx"]) == pytest.approx(at_px(value), abs=0.01)
    assert float(parts["chance"].attrib["x1"]) == pytest.approx(at_px(0.25), abs=0.01)


def test_small_numbers_get_a_scale_on_which_they_can_be_told_apart(tmp_path: Path) -> None:
    rows = rows_of(tmp_path, *trio(0.04, 0.02, 0.005, 0.01))
    comparisons = compare(rows)
    assert scale_top(comparisons) == pytest.approx(0.06)
    axis, bars = re.findall(r"<svg.*?</svg>", results_html(comparisons))
    labels = [
        (float(text.attrib["x"]), float(text.text or "nan"))
        for text in ElementTree.fromstring(axis).iter("text")
    ]
    assert labels == [
        (pytest.approx(at_px(v, 0.06), abs=0.1), pytest.approx(v)) for v in (0, 0.03, 0.06)
    ]
    dot = re.search(r"dot pretrained' cx='([\d.]+)'", bars)
    assert dot
    assert float(dot[1]) == pytest.approx(at_px(0.04, 0.06), abs=0.01)


def test_protocols_come_in_a_fixed_order_and_labels_in_that_of_the_file(tmp_path: Path) -> None:
    rows = rows_of(
        tmp_path,
        *trio(0.5, 0.4, 0.1, 0.1, protocol="instance", label="zebra"),
        *trio(0.5, 0.4, 0.1, 0.1, protocol="linear", label="yak"),
        *trio(0.5, 0.4, 0.1, 0.1, protocol="linear", label="ant"),
    )
    page = results_html(compare(rows))
    assert page.index("yak") < page.index("ant") < page.index("zebra")
