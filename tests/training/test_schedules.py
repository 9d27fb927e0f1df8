"""Proves the learning-rate schedule against values worked by hand and the shape it promises."""

import itertools
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avrep.config import load_config
from avrep.errors import ConfigError
from avrep.training.loop import TrainConfig
from avrep.training.schedules import (
    cosine_with_warmup,
    line_with_warmup,
    steps_with_warmup,
)


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


def test_a_line_worked_by_hand() -> None:
    # 4 steps of warm-up from 1 to 3, then straight down to 0.5 in 5.
    values = [line_with_warmup(step, 9, 4, 3.0, 0.5, 1.0) for step in range(11)]
    assert values == pytest.approx([1, 1.5, 2, 2.5, 3, 2.5, 2, 1.5, 1, 0.5, 0.5])


def test_a_warm_up_may_begin_above_zero() -> None:
    assert [cosine_with_warmup(step, 9, 2, 3.0, 0.0, 1.0) for step in range(3)] == [1, 2, 3]


def test_v_jepa_s_schedules_are_cut_off_at_four_fifths() -> None:
    train = load_config(Path(__file__).parents[2] / "configs" / "vjepa_vm2m.yaml").train
    assert train.lr_at(0) == pytest.approx(2e-4)
    assert train.lr_at(12_000) == pytest.approx(6.25e-4)
    # 78,000 of the 100,500 steps after the warm-up: 1e-6 + 6.24e-4 * (1 + cos 139.7 degrees) / 2.
    assert train.lr_at(90_000) == pytest.approx(7.5e-5, rel=0.01)
    assert train.weight_decay_at(0) == pytest.approx(0.04)
    assert train.weight_decay_at(56_250) == pytest.approx(0.22)
    # cos 144 degrees = -(1 + sqrt 5) / 4.
    assert train.weight_decay_at(90_000) == pytest.approx(0.4 - 0.18 * (1 - (1 + 5**0.5) / 4))


def test_by_default_weight_decay_stays_and_schedules_end_with_the_run() -> None:
    train = TrainConfig.model_validate(
        {"batch_size": 1, "num_steps": 4, "optim": {"lr": 1.0, "weight_decay": 0.3}}
    )
    assert [train.weight_decay_at(step) for step in range(5)] == [0.3] * 5
    assert (train.lr_at(0), train.lr_at(4)) == (1.0, 0.0)
    line = train.model_copy(update={"schedule": "line"})
    assert line.lr_at(1) == 0.75


def test_schedules_do_not_end_before_the_run() -> None:
    with pytest.raises(ValueError, match="schedule_steps is 3; it must be at least num_steps, 4"):
        TrainConfig(batch_size=1, num_steps=4, schedule_steps=3)


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


def test_steps_fall_at_each_drop() -> None:
    found = [steps_with_warmup(step, 12, 0, 0.5, [4, 9], 0.2) for step in (0, 3, 4, 8, 9, 99)]
    assert found == pytest.approx([0.5, 0.5, 0.1, 0.1, 0.02, 0.02])


def test_steps_rise_first() -> None:
    found = [steps_with_warmup(step, 8, 4, 2.0, [6], first=1.0) for step in (0, 2, 4, 5, 6)]
    assert found == pytest.approx([1.0, 1.5, 2.0, 2.0, 0.2])
