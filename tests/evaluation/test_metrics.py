"""Proves the intervals: Wilson's against scipy's, the bootstrap against coverage on known laws
(also with correlated clusters, and for paired differences), and sane ones where resampling fails.
"""

import numpy as np
import numpy.typing as npt
import pytest
from scipy.stats import binomtest

from avrep.evaluation.metrics import (
    MIN_CLUSTERS,
    Interval,
    difference_interval,
    mean_interval,
    statistic_intervals,
    wilson_interval,
)

Floats = npt.NDArray[np.float64]


def own_clusters(num: int) -> list[str]:
    return [str(row) for row in range(num)]


def mean_of(scores: Floats, clusters: list[str] | None = None, seed: int = 0) -> Interval:
    names = clusters or own_clusters(len(scores))
    return mean_interval([scores], [names], seed=seed, num_resamples=400)


def difference_of(scores: Floats, baseline: Floats, seed: int = 0) -> Interval:
    names = own_clusters(len(scores))
    return difference_interval([scores], [baseline], [names], seed=seed, num_resamples=400)


@pytest.mark.parametrize(("hits", "trials"), [(0, 7), (1, 7), (5, 9), (7, 7), (433, 1000)])
@pytest.mark.parametrize("confidence", [0.9, 0.95])
def test_wilson_against_scipy(hits: int, trials: int, confidence: float) -> None:
    truth = binomtest(hits, trials).proportion_ci(confidence, method="wilson")
    found = wilson_interval(hits / trials, trials, confidence)
    np.testing.assert_allclose(found, (truth.low, truth.high), atol=1e-12)


@pytest.mark.parametrize(("num", "rate"), [(60, 0.5), (60, 0.9), (200, 0.7)])
def test_coverage_of_a_known_rate(num: int, rate: float) -> None:
    rng = np.random.default_rng(num)
    sets = (rng.random((300, num)) < rate).astype(np.float64)
    found = [mean_of(scores, seed=number) for number, scores in enumerate(sets)]
    covered = np.mean([interval.low <= rate <= interval.high for interval in found])
    assert 0.9 <= covered <= 0.99
    # And it is no wider than it need be: within a third of the normal approximation.
    width = np.mean([interval.high - interval.low for interval in found])
    assert width == pytest.approx(2 * 1.96 * np.sqrt(rate * (1 - rate) / num), rel=0.34)


def test_coverage_with_clusters_that_agree() -> None:
    # 40 clusters of 8 videos that succeed or fail together: 40 trials, not 320.
    rng = np.random.default_rng(0)
    clusters = [str(row // 8) for row in range(320)]
    covered = {"clusters": 0, "videos": 0}
    for number in range(200):
        scores = np.repeat((rng.random(40) < 0.6).astype(np.float64), 8)
        for name, names in (("clusters", clusters), ("videos", own_clusters(320))):
            interval = mean_of(scores, names, seed=number)
            covered[name] += interval.low <= 0.6 <= interval.high
    assert covered["clusters"] >= 0.88 * 200
    assert covered["videos"] < 0.7 * 200


def test_coverage_of_a_paired_difference() -> None:
    # Easy videos are easy for both: correlated scores with true rates 0.7 and 0.55.
    rng = np.random.default_rng(1)
    covered, width = 0, 0.0
    for number in range(300):
        ease = rng.random(100)
        interval = difference_of(
            (ease < 0.7).astype(np.float64),
            np.where(rng.random(100) < 0.8, ease < 0.55, rng.random(100) < 0.55).astype(np.float64),
            seed=number,
        )
        covered += interval.low <= 0.15 <= interval.high
        width += (interval.high - interval.low) / 300
    assert 0.9 <= covered / 300 <= 0.99
    unpaired = 2 * 1.96 * np.sqrt((0.7 * 0.3 + 0.55 * 0.45) / 100)
    assert width < 0.8 * unpaired


def test_value_seed_and_confidence() -> None:
    scores = np.array([1, 0, 1, 1, 0.5, 0.25, 0, 0, 1, 1, 0.5, 0.75])
    interval = mean_of(scores)
    assert interval.value == pytest.approx(scores.mean())
    assert interval.low < interval.value < interval.high
    assert (interval.method, interval.num_clusters) == ("bootstrap", 12)
    assert mean_of(scores) == interval
    assert mean_of(scores, seed=1) != interval
    wide = mean_interval([scores], [own_clusters(12)], seed=0, confidence=0.99)
    narrow = mean_interval([scores], [own_clusters(12)], seed=0, confidence=0.5)
    assert wide.low < narrow.low < narrow.high < wide.high


def test_a_difference_is_a_minus_b() -> None:
    rng = np.random.default_rng(0)
    better, worse = ((rng.random(50) < rate).astype(np.float64) for rate in (0.8, 0.3))
    up, down = difference_of(better, worse), difference_of(worse, better)
    assert up.value == pytest.approx(better.mean() - worse.mean())
    assert 0 < up.low < up.value < up.high
    assert (down.low, down.high) == pytest.approx((-up.high, -up.low), abs=0.02)


@pytest.mark.parametrize("score", [0.0, 1.0])
def test_a_perfect_or_hopeless_score_has_a_width(score: float) -> None:
    interval = mean_of(np.full(30, score))
    assert interval.method == "wilson"
    assert interval.high - interval.low == pytest.approx(0.1135, abs=1e-3)
    same = difference_of(np.full(30, score), np.full(30, score))
    assert same.method == "newcombe"
    assert same.value == 0
    assert same.low < -0.05 < 0.05 < same.high


def test_one_miss_is_not_given_less_than_wilson() -> None:
    scores = np.array([0.0] + [1.0] * 39)
    interval = mean_of(scores)
    assert interval.low <= wilson_interval(39 / 40, 40)[0]


def test_few_clusters_count_as_so_many_trials() -> None:
    scores = np.array([1.0, 1, 1, 0, 1, 1, 0, 0, 1, 1, 1, 1])
    clusters = ["a", "b", "c"] * 4
    interval = mean_of(scores, clusters)
    assert (interval.low, interval.high) == wilson_interval(0.75, 3)
    assert (interval.method, interval.num_clusters) == ("wilson", 3)
    names = own_clusters(MIN_CLUSTERS)
    assert mean_of(scores[:MIN_CLUSTERS], names).method == "bootstrap"
    assert mean_of(scores[: MIN_CLUSTERS - 1]).method == "wilson"
    alone = mean_of(np.array([1.0]))
    assert alone.low < 0.3


def test_newcombe_by_hand() -> None:
    # Newcombe 1998 (Statistics in Medicine 17, 873), table II, example (a): 56/70 - 48/80 = 0.2,
    # method 10 without continuity correction: 0.0524 to 0.3339. One size here, so 7/9 - 5/9.
    low1, high1 = wilson_interval(7 / 9, 9)
    low2, high2 = wilson_interval(5 / 9, 9)
    scores, baseline = np.array([1.0] * 7 + [0] * 2), np.array([1.0] * 5 + [0] * 4)
    interval = difference_of(scores, baseline)
    below = np.sqrt((7 / 9 - low1) ** 2 + (high2 - 5 / 9) ** 2)
    above = np.sqrt((high1 - 7 / 9) ** 2 + (5 / 9 - low2) ** 2)
    assert interval.low == pytest.approx(2 / 9 - below)
    assert interval.high == pytest.approx(2 / 9 + above)
    assert interval.low < 0


def test_weights_weigh() -> None:
    scores = np.array([1.0, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 1])
    weights = np.array([1 / 9] * 9 + [1 / 3] * 3)
    interval = mean_interval([scores], [own_clusters(12)], seed=0, weights=[weights])
    assert interval.value == pytest.approx((1 + 1 / 3) / 2)
    assert interval.low < interval.value < interval.high


def test_two_sets_are_the_mean_of_their_means() -> None:
    one, two = np.ones(30), np.zeros(10)
    one[:10] = 0
    two[:5] = 1
    names = [[f"x{row}" for row in range(30)], [f"y{row}" for row in range(10)]]
    interval = mean_interval([one, two], names, seed=0)
    assert interval.value == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert interval.num_clusters == 40
    assert interval.low < interval.value < interval.high


def test_a_set_too_small_for_some_resamples_still_counts() -> None:
    # A set of one video is in about 63 % of the resamples; its mean of 1 pulls those up.
    interval = mean_interval(
        [np.ones(1), np.array([1.0, 0.0] * 20)], [["x"], own_clusters(40)], seed=0
    )
    assert interval.value == 0.75
    assert interval.method == "bootstrap"
    assert 0.3 < interval.low < 0.5
    assert 0.8 < interval.high < 0.9
    alone = [np.array([float(row % 2)]) for row in range(12)]
    many = mean_interval(alone, [[str(row)] for row in range(12)], seed=0)
    assert many.low < many.value == 0.5 < many.high


def test_no_scores_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one score"):
        mean_interval([np.zeros(0)], [[]], seed=0)


def test_figures_that_are_no_means() -> None:
    rng = np.random.default_rng(0)
    scores = rng.random(40)

    def figures(times: Floats) -> Floats:
        mean = float(times @ scores / times.sum())
        return np.array([mean, mean**2])

    mean, square = statistic_intervals(figures, 40, seed=3, num_resamples=400)
    wanted = mean_of(scores, [f"{row:02}" for row in range(40)], seed=3)
    assert (mean.value, mean.low, mean.high) == pytest.approx(
        (wanted.value, wanted.low, wanted.high)
    )
    assert (square.value, square.low) == pytest.approx((mean.value**2, mean.low**2), rel=1e-2)


def test_figures_of_few_clusters_or_without_a_spread() -> None:
    few = statistic_intervals(lambda times: np.array([times.sum() / 8]), 4, seed=0)[0]
    assert (few.value, few.method, few.num_clusters) == (0.5, "wilson", 4)
    assert (few.low, few.high) == pytest.approx(wilson_interval(0.5, 4))
    # Most resamples have no figure; those that have say the same.
    rare = statistic_intervals(
        lambda times: np.array([1.5 if times[0] > 0 else np.nan]), 20, seed=0
    )[0]
    assert (rare.value, rare.method) == (1.5, "wilson")
    assert rare.low < 1 < 1.5 == rare.high
    with pytest.raises(ValueError, match="figures of the whole set"):
        statistic_intervals(lambda _: np.array([np.nan]), 20, seed=0)
