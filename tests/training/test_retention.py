"""Which checkpoints stay, by hand and by what must hold for any; the mean of what was logged."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avrep.errors import ConfigError
from avrep.training.retention import KeepBest, LoggedMean, kept_steps


def test_by_hand() -> None:
    steps = [10, 20, 30, 40]
    values = {10: 3.0, 20: 1.0, 40: 2.0}
    assert kept_steps(steps, 2, {}, "min") == {30, 40}
    assert kept_steps(steps, 1, values, "min") == {20, 40}
    assert kept_steps(steps, 1, values, "max") == {10, 40}
    assert kept_steps(steps, 1, {10: math.nan, 20: math.inf}, "max") == {40}
    # Of equals the earliest; a step that is gone already is nobody's best.
    assert kept_steps(steps, 1, {10: 1.0, 20: 1.0, 5: 0.0}, "min") == {10, 40}


@given(
    steps=st.sets(st.integers(0, 50)),
    keep_last=st.integers(1, 5),
    values=st.dictionaries(st.integers(0, 50), st.floats()),
    is_max=st.booleans(),
)
def test_at_most_one_more_than_the_newest(
    steps: set[int], keep_last: int, values: dict[int, float], is_max: bool
) -> None:
    kept = kept_steps(sorted(steps), keep_last, values, "max" if is_max else "min")
    newest = set(sorted(steps)[-keep_last:])
    assert newest <= kept <= steps
    finite = [v for step, v in values.items() if step in steps and math.isfinite(v)]
    if finite:
        assert (max if is_max else min)(finite) in [values.get(step) for step in kept]
    assert len(kept) <= len(newest) + 1


def test_means_since_the_last_time() -> None:
    logged = LoggedMean()
    logged.add({"loss": 1.0, "bottleneck": "storage"})
    logged.add({"loss": 2.0, "top1": 0.5})
    assert logged.take() == {"loss": 1.5, "top1": 0.5}
    assert logged.take() == {}


def test_a_metric_that_is_never_logged_is_refused() -> None:
    logged = LoggedMean()
    wrong = KeepBest(metric="lost")
    # Nothing was logged yet, so nothing is known.
    logged.check_named(wrong)
    logged.add({"loss": 1.0, "lr": 0.1})
    logged.take()
    logged.check_named(None)
    logged.check_named(KeepBest(metric="loss"))
    with pytest.raises(ConfigError, match=r"no 'lost' was logged .*name one of loss, lr, or"):
        logged.check_named(wrong)
