"""Proves the error rates of speaker verification: hand-worked curves, the ROC curve of scikit-learn
with a numeric root, a slow restatement of minDCF, and that a weight is as good as a repetition.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.interpolate import interp1d
from scipy.optimize import root_scalar
from sklearn.metrics import roc_curve

from avrep.evaluation.verification import (
    Bools,
    Floats,
    RankedTrials,
    equal_error_rate,
    error_curve,
    min_detection_cost,
    verification_figures,
)


@st.composite
def trials(draw: st.DrawFn) -> tuple[Floats, Bools]:
    num = draw(st.integers(2, 30))
    # Few levels, so that there are ties.
    levels = draw(st.lists(st.integers(-4, 4), min_size=num, max_size=num))
    kinds = draw(st.lists(st.booleans(), min_size=num, max_size=num))
    kinds[0], kinds[1] = True, False
    return np.array(levels, np.float64) / 3, np.array(kinds)


def test_a_curve_worked_by_hand() -> None:
    curve = error_curve(np.array([0.9, 0.8, 0.7, 0.1]), np.array([True, False, True, False]))
    np.testing.assert_array_equal(curve.thresholds, [np.inf, 0.9, 0.8, 0.7, 0.1])
    np.testing.assert_array_equal(curve.p_miss, [1, 0.5, 0.5, 0, 0])
    np.testing.assert_array_equal(curve.p_false_alarm, [0, 0, 0.5, 0.5, 1])
    assert equal_error_rate(curve) == 0.5
    # At 0.9: half of the targets missed, nothing else accepted. 0.01 x 0.5 over 0.01.
    assert min_detection_cost(curve, 0.01) == pytest.approx(0.5)
    # At 0.7: no miss, half of the others accepted: 0.5 x 0.5 over 0.5, as good.
    assert min_detection_cost(curve, 0.5) == pytest.approx(0.5)


def test_between_points_the_rate_lies_on_the_line() -> None:
    # (fa, miss): (0, 1), then both targets and three of four others tie: (3/4, 0).
    scores = np.array([1.0, 1, 1, 1, 1, 0])
    curve = error_curve(scores, np.array([True, True, False, False, False, True]))
    # Targets: two of three at the tie. (0, 1) to (1, 1/3): equal at t = 1 - 2t/3, t = 3/5.
    assert equal_error_rate(curve) == pytest.approx(0.6)


def test_equal_scores_know_nothing() -> None:
    curve = error_curve(np.zeros(10), np.arange(10) < 3)
    assert equal_error_rate(curve) == 0.5
    assert min_detection_cost(curve, 0.01) == min_detection_cost(curve, 0.05) == 1


@settings(max_examples=30, deadline=None)
@given(trials())
def test_rate_against_scikit_learn_and_a_root(pair: tuple[Floats, Bools]) -> None:
    scores, is_target = pair
    p_false_alarm, hits, _ = roc_curve(is_target, scores)
    curve = interp1d(p_false_alarm, hits)

    def ahead(rate: float) -> float:
        return float(1 - rate - curve(rate))

    found = equal_error_rate(error_curve(scores, is_target))
    if ahead(0.0) <= 0:
        assert found == 0
    else:
        assert found == pytest.approx(root_scalar(ahead, bracket=(0.0, 1.0)).root, abs=1e-9)


@settings(max_examples=30, deadline=None)
@given(trials(), st.sampled_from([0.01, 0.05, 0.5, 0.9]), st.sampled_from([1.0, 10.0]))
def test_cost_against_a_slow_restatement(
    pair: tuple[Floats, Bools], p_target: float, cost_miss: float
) -> None:
    scores, is_target = pair
    costs = []
    for threshold in [*scores.tolist(), np.inf]:
        missed = sum(score < threshold for score in scores[is_target]) / is_target.sum()
        alarmed = sum(score >= threshold for score in scores[~is_target]) / (~is_target).sum()
        costs.append(cost_miss * p_target * missed + (1 - p_target) * alarmed)
    wanted = min(costs) / min(cost_miss * p_target, 1 - p_target)
    curve = error_curve(scores, is_target)
    assert min_detection_cost(curve, p_target, cost_miss=cost_miss) == pytest.approx(wanted)


@settings(max_examples=30, deadline=None)
@given(trials(), st.data())
def test_a_weight_is_a_repetition(pair: tuple[Floats, Bools], data: st.DataObject) -> None:
    scores, is_target = pair
    times = data.draw(st.lists(st.integers(0, 3), min_size=len(scores), max_size=len(scores)))
    curve = RankedTrials(scores, is_target).curve(np.array(times, np.float64))
    repeated, kinds = np.repeat(scores, times), np.repeat(is_target, times)
    if kinds.all() or not kinds.any():
        assert curve is None
    else:
        assert curve is not None
        wanted = error_curve(repeated, kinds)
        assert equal_error_rate(curve) == pytest.approx(equal_error_rate(wanted))
        assert min_detection_cost(curve, 0.05) == pytest.approx(min_detection_cost(wanted, 0.05))


@pytest.mark.parametrize(
    ("scores", "kinds"), [([1.0, 2.0], [True, True]), ([1.0, np.nan], [True, False])]
)
def test_what_has_no_rate_is_refused(scores: list[float], kinds: list[bool]) -> None:
    with pytest.raises(ValueError, match=r"speakers|no number"):
        error_curve(np.array(scores), np.array(kinds))


def test_an_interval_is_over_speakers() -> None:
    # Half of the speakers sound like one another: how many of them there are decides the rate.
    rng = np.random.default_rng(0)
    speakers = [
        (f"s{a:02}", f"s{b:02}") for a in range(30) for b in range(a, 30) for _ in range(12)
    ]
    is_target = np.array([a == b for a, b in speakers])
    alike = np.array([a < "s15" and b < "s15" for a, b in speakers])
    scores = np.where(is_target, 1.0, np.where(alike, 0.9, -1.0)) + rng.normal(size=len(speakers))
    found = verification_figures(scores, is_target, speakers, seed=0)
    assert list(found) == ["eer", "mindcf_0.01", "mindcf_0.05"]
    eer = found["eer"]
    assert eer.value == equal_error_rate(error_curve(scores, is_target))
    assert (eer.num_clusters, eer.method) == (30, "bootstrap")
    assert eer.low < eer.value < eer.high
    # As many trials that knew nothing of one another would make it narrower.
    alone = 2 * 1.96 * np.sqrt(eer.value * (1 - eer.value) / is_target.sum())
    assert eer.high - eer.low > alone
    assert verification_figures(scores, is_target, speakers, seed=0) == found
