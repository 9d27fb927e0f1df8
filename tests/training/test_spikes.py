"""A loss stands out by a robust rule: at values worked by hand, and unmoved by the spikes themselves."""

import math
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avrep.training.spikes import spike_limit

FINITE = st.floats(-1e6, 1e6)


def test_a_limit_worked_by_hand() -> None:
    # Median 10.5, absolute deviations 9.5, 8.5, ... 0.5, 0.5, ... 9.5: their median is 5.
    losses = [float(number) for number in range(1, 21)]
    assert spike_limit(losses, 4.0) == pytest.approx(10.5 + 4 * 1.4826 * 5)


def test_a_still_loss_may_move_by_a_share_of_itself() -> None:
    assert spike_limit([2.0] * 30, 10.0) == pytest.approx(2.0 + 10 * 0.02)
    assert spike_limit([-2.0] * 30, 10.0) == pytest.approx(-2.0 + 10 * 0.02)


def test_few_losses_say_nothing() -> None:
    assert spike_limit([1.0] * 19, 10.0) == math.inf
    assert spike_limit([1.0] * 20, 10.0) < math.inf


def test_spikes_in_the_window_hardly_move_the_limit() -> None:
    calm = [1.0 + 0.01 * (number % 7) for number in range(100)]
    spiked = [*calm[:95], *[1e6] * 5]
    assert spike_limit(spiked, 10.0) == pytest.approx(spike_limit(calm, 10.0), rel=0.05)


@given(st.lists(FINITE, min_size=20, max_size=60), st.floats(0.1, 100))
def test_the_limit_is_the_rule_restated(losses: list[float], deviations: float) -> None:
    middle = statistics.median(losses)
    mad = statistics.median(abs(loss - middle) for loss in losses)
    expected = middle + deviations * max(1.4826 * mad, 0.01 * abs(middle))
    assert spike_limit(losses, deviations) == pytest.approx(expected)
    assert spike_limit(losses[::-1], deviations) == spike_limit(losses, deviations)
