"""Proves the intervals of error rates: coverage over speakers that differ, many and few; that they agree
with the intervals of means; and sane ones where there is nothing to resample.
"""

import numpy as np
import numpy.typing as npt
import pytest

from avrep.evaluation.metrics import mean_interval, wilson_interval
from avrep.evaluation.ratio_interval import ratio_metric
from avrep.evaluation.task_result import Metric

Floats = npt.NDArray[np.float64]


def speakers(num: int, each: int) -> list[str]:
    return [str(row // each) for row in range(num * each)]


def utterances(num: int, each: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Errors and words; speakers differ in both, and the rate over all of them is 0.2."""
    words = np.repeat(rng.integers(5, 30, num), each) + rng.integers(1, 9, num * each)
    rates = np.repeat(rng.beta(2, 8, num), each)
    return rng.binomial(words, rates).astype(np.float64), words.astype(np.float64)


@pytest.mark.parametrize(("num", "least"), [(40, 0.85), (4, 0.83)])
def test_coverage_over_speakers(num: int, least: float) -> None:
    rng = np.random.default_rng(num)
    covered = []
    for seed in range(60):
        metric = ratio_metric(
            "wer", *utterances(num, 6, rng), speakers(num, 6), seed=seed, confidence=0.95
        )
        covered.append(metric.ci_low <= 0.2 <= metric.ci_high)
    assert least <= np.mean(covered) <= 0.99


def test_value_is_the_sum_over_the_sum() -> None:
    metric = ratio_metric("wer", np.array([1.0, 0, 5]), np.array([2.0, 4, 6]), list("aab"), seed=0)
    assert metric == Metric(
        name="wer",
        value=0.5,
        ci_low=metric.ci_low,
        ci_high=metric.ci_high,
        num_items=3,
        num_clusters=2,
        higher_is_better=False,
    )
    # Two speakers, residuals -2 and 2: 12.706 * sqrt(2 * 8) / 12 to either side, and no rate below 0.
    assert metric.ci_low == 0
    assert metric.ci_high == pytest.approx(0.5 + 12.7062 * 4 / 12, abs=1e-4)


def test_agrees_with_the_interval_of_a_weighted_mean() -> None:
    rng = np.random.default_rng(1)
    errors, words = utterances(40, 5, rng)
    names = speakers(40, 5)
    found = ratio_metric("wer", errors, words, names, seed=0)
    truth = mean_interval([errors / words], [names], seed=0, weights=[words])
    assert found.value == pytest.approx(truth.value)
    assert (found.ci_low, found.ci_high) == pytest.approx((truth.low, truth.high), rel=0.05)
    assert found == ratio_metric("wer", errors, words, names, seed=0)


def test_utterances_of_one_speaker_are_not_independent() -> None:
    errors = np.tile([0.0, 10.0], 20)
    words = np.full(40, 20.0)
    alone = ratio_metric("wer", errors, words, [str(row) for row in range(40)], seed=0)
    grouped = ratio_metric("wer", np.sort(errors), words, speakers(10, 4), seed=0)
    assert grouped.ci_high - grouped.ci_low > 1.5 * (alone.ci_high - alone.ci_low)


def test_scores_stay_below_their_bound() -> None:
    scores, names = np.array([1.0, 0.9, 0.7, 1.0]), list("abcd")
    free = ratio_metric("f1", scores, np.ones(4), names, seed=0)
    bound = ratio_metric("f1", scores, np.ones(4), names, seed=0, most=1.0)
    assert free.ci_high > 1 == bound.ci_high
    assert free.ci_low == bound.ci_low


def test_where_nothing_can_be_resampled() -> None:
    words = np.full(40, 10.0)
    perfect = ratio_metric("wer", np.zeros(40), words, speakers(10, 4), seed=0)
    assert (perfect.ci_low, perfect.ci_high) == wilson_interval(0.0, 10)
    hopeless = ratio_metric("wer", 3 * words, words, speakers(10, 4), seed=0)
    assert hopeless.value == hopeless.ci_high == 3
    single = ratio_metric("wer", np.arange(40.0), words, ["x"] * 40, seed=0)
    assert single.num_clusters == 40
    lone = ratio_metric("wer", np.ones(1), np.ones(1) * 4, ["x"], seed=0)
    assert lone.ci_low < lone.value < lone.ci_high
    with pytest.raises(ValueError, match="empty"):
        ratio_metric("wer", np.ones(2), np.zeros(2), ["a", "b"], seed=0)
