"""Proves that a drawn curve stands where its numbers say, however long or strange it is."""

import re
from itertools import pairwise
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from avrep.report.curves import draw_curve, nice_ticks, thin

LEFT_PX, RIGHT_PX, TOP_PX, BOTTOM_PX = 46.0, 368.0, 8.0, 150.0
finite = st.floats(-3e38, 3e38, allow_subnormal=True)


def points(svg: str, tag: str) -> list[tuple[float, float]]:
    found = ElementTree.fromstring(svg).find(tag)
    assert found is not None
    return [(float(x), float(y)) for x, y in (p.split(",") for p in found.attrib["points"].split())]


def test_a_share_stands_at_its_height_and_step() -> None:
    steps = np.array([0, 50, 100])
    svg = draw_curve(steps, np.array([0.0, 0.25, 1.0]), title="share", as_percent=True)
    assert points(svg, "polyline") == [
        (LEFT_PX, BOTTOM_PX),
        ((LEFT_PX + RIGHT_PX) / 2, BOTTOM_PX - 0.25 * (BOTTOM_PX - TOP_PX)),
        (RIGHT_PX, TOP_PX),
    ]


def test_axis_labels_agree_with_the_curve() -> None:
    """Reads values back off the drawing through its own labelled grid lines."""
    steps, values = np.arange(40), np.linspace(3.0, 17.0, 40)
    svg = draw_curve(steps, values, title="loss")
    ys = [float(y) for y in re.findall(r"class=\"grid\"[^>]*y1=\"([\d.]+)\"", svg)]
    labels = [float(t) for t in re.findall(r'text-anchor="end">([\d.]+)<', svg)]
    assert len(labels) >= 3
    slope, offset = np.polyfit(ys, labels, 1)
    read = [slope * y + offset for _, y in points(svg, "polyline")]
    np.testing.assert_allclose(read, values, atol=0.05)


def test_a_wide_range_of_positive_values_gets_a_log_axis() -> None:
    svg = draw_curve(np.arange(3), np.array([1.0, 10.0, 1000.0]), title="t")
    (_, y0), (_, y1), (_, y2) = points(svg, "polyline")
    assert (y0 - y2) / (y0 - y1) == pytest.approx(3, abs=0.02)


def test_missing_values_are_bridged_and_broken_ones_marked() -> None:
    values = np.array([1.0, np.nan, 3.0, np.nan, 2.0])
    svg = draw_curve(np.arange(5), values, title="t", broken_at=(3,))
    assert [x for x, _ in points(svg, "polyline")] == [46.0, 207.0, 368.0]
    marks = [line for line in ElementTree.fromstring(svg) if line.get("class") == "broken"]
    assert [mark.attrib["x1"] for mark in marks] == ["287.5"]


def test_one_step_draws_a_dot() -> None:
    svg = draw_curve(np.array([7]), np.array([0.4]), title="t")
    assert ElementTree.fromstring(svg).find("circle") is not None


def test_thinning_keeps_every_extreme_and_equals_a_slow_restatement() -> None:
    rng = np.random.default_rng(0)
    steps = np.sort(rng.choice(5000, 1000, replace=False))
    values = rng.normal(size=1000)
    values[[3, 700]] = [40.0, -55.0]
    values[100:140] = np.nan
    thinned = thin(steps, values, 50)
    assert len(thinned.steps) <= 50
    assert thinned.high.max() == 40.0
    assert thinned.low.min() == -55.0

    there = [(s, v) for s, v in zip(steps, values, strict=True) if not np.isnan(v)]
    edges = np.linspace(there[0][0], there[-1][0], 51)
    buckets: list[list[tuple[int, float]]] = [[] for _ in range(50)]
    for s, v in there:
        buckets[min(49, max(i for i in range(50) if edges[i] <= s))].append((s, v))
    slow = [bucket for bucket in buckets if bucket]
    assert len(slow) == len(thinned.steps)
    for i, bucket in enumerate(slow):
        assert thinned.mean[i] == pytest.approx(np.mean([v for _, v in bucket]))
        assert thinned.low[i] == min(v for _, v in bucket)
        assert thinned.high[i] == max(v for _, v in bucket)


@pytest.mark.parametrize(
    ("low", "high", "wanted", "ticks"),
    [
        (0.0, 1.0, 6, (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)),
        (0.0, 7.3, 4, (0.0, 5.0, 10.0)),
        (-1.2, 2.7, 5, (-2.0, -1.0, 0.0, 1.0, 2.0, 3.0)),
        (0.0, 3e-4, 4, (0.0, 1e-4, 2e-4, 3e-4)),
    ],
)
def test_ticks_worked_by_hand(low: float, high: float, wanted: int, ticks: tuple[float]) -> None:
    assert nice_ticks(low, high, wanted) == pytest.approx(ticks)


@given(finite, finite)
def test_ticks_cover_the_range_and_ascend(a: float, b: float) -> None:
    low, high = min(a, b), max(a, b)
    ticks = nice_ticks(low, high, 4)
    apart = ticks[1] - ticks[0]
    assert ticks[0] <= low + 1e-6 * apart
    assert ticks[-1] >= high - 1e-6 * apart
    assert all(x < y for x, y in pairwise(ticks))
    assert len(ticks) <= 8


@given(st.lists(finite, min_size=1, max_size=30), st.booleans())
def test_any_finite_values_stay_inside_the_picture(values: list[float], from_zero: bool) -> None:
    steps = np.arange(len(values)) * 3
    svg = draw_curve(steps, np.array(values), title="t", from_zero=from_zero)
    for x, y in points(svg, "polyline"):
        assert LEFT_PX <= x <= RIGHT_PX
        assert TOP_PX - 0.1 <= y <= BOTTOM_PX + 0.1
