"""Proves the learning-rate schedule against values worked by hand and the shape it promises."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avrep.errors import ConfigError
from avrep.training.schedules import cosine_with_warmup


@pytest.mark.parametrize(
    ("step", "value"),
    # 10 steps of warm-up to 4, then half a cosine from 4 to 1 over 30 steps: a third of it (cos 60
    # degrees = 1/2) leaves 1 + 3 * 3/4, half of it 1 + 3 / 2, two thirds 1 + 3 / 4.
    [
        (0, 0.0),
        (1, 0.4),
        (5, 2.0),
        (10, 4.0),
        (20, 3.25),
        (25, 2.5),
        (30, 1.75),
        (40, 1.0),
        (99, 1.0),
    ],
)
def test_values_worked_by_hand(step: int, value: float) -> None:
    assert cosine_with_warmup(step, 40, 10, 4.0, 1.0) == pytest.approx(value, abs=1e-12)


def test_without_warm_up_the_first_step_has_the_peak() -> None:
    assert cosine_with_warmup(0, 2, 0, 0.3) == 0.3
    assert cosine_with_warmup(1, 2, 0, 0.3) == pytest.approx(0.15)


def test_a_run_may_be_all_warm_up() -> None:
    assert [cosine_with_warmup(step, 2, 2, 1.0, 0.5) for step in range(3)] == [0.0, 0.5, 0.5]


@settings(deadline=None)
@given(
    total=st.integers(1, 500),
    share=st.floats(0, 1),
    peak=st.floats(1e-6, 100),
    final_share=st.floats(0, 1),
)
def test_it_rises_to_the_peak_and_falls_to_the_end(
    total: int, share: float, peak: float, final_share: float
) -> None:
    warmup, final = int(share * total), peak * final_share
    values = [cosine_with_warmup(step, total, warmup, peak, final) for step in range(total + 3)]
    slack = 1e-9 * peak
    rise, fall = values[: warmup + 1], values[warmup:]
    if warmup < total:
        assert values[warmup] == pytest.approx(peak)
        assert all(a < b for a, b in itertools.pairwise(rise))
    assert all(a >= b - slack for a, b in itertools.pairwise(fall))
    assert all(-slack <= value <= peak + slack for value in values)
    assert values[total:] == [final] * 3


@pytest.mark.parametrize(
    ("step", "total", "warmup"), [(0, 10, 11), (0, 10, -1), (0, 0, 0), (-1, 10, 1)]
)
def test_steps_out_of_range_are_refused(step: int, total: int, warmup: int) -> None:
    with pytest.raises(ConfigError, match=r"steps"):
        cosine_with_warmup(step, total, warmup, 1.0)
