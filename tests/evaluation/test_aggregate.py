"""Proves what folds and seeds are combined to, against hand-worked means, and that an interval over
seeds covers the spread of seeds as well as that of videos.
"""

import numpy as np
import pytest

from avrep.errors import ConfigError
from avrep.evaluation.aggregate import combine, combine_draws
from avrep.evaluation.metrics import mean_interval
from avrep.evaluation.scores import VideoScores


def run(values: list[float], prefix: str = "v", weights: list[float] | None = None) -> VideoScores:
    keys = tuple(f"{prefix}{row}" for row in range(len(values)))
    return VideoScores(
        protocol="knn",
        label="class",
        metric="top1",
        keys=keys,
        values=np.array(values),
        weights=None if weights is None else np.array(weights),
        clusters=keys,
        chance=0.5,
    )


HALF, MOST = run([1.0, 0.0] * 5, "a"), run([1.0, 1.0, 1.0, 0.0] * 10, "b")


def test_one_run_is_its_own_interval() -> None:
    found = combine([HALF], None, "videos", seed=3)
    assert found == mean_interval([HALF.values], [HALF.clusters], seed=3)


def test_folds_are_averaged_or_pooled() -> None:
    mean = combine([HALF, MOST], None, "mean of folds", seed=0)
    pooled = combine([HALF, MOST], None, "pooled folds", seed=0)
    assert mean.value == pytest.approx(0.625)
    assert pooled.value == pytest.approx(0.7)
    assert mean.num_clusters == pooled.num_clusters == 50
    # The small fold weighs more in the mean of folds, and so does its uncertainty.
    assert mean.high - mean.low > pooled.high - pooled.low > 0.1


def test_differences_over_folds() -> None:
    base = [run([0.0] * 10, "a"), run([0.0, 1.0] * 20, "b")]
    mean = combine([HALF, MOST], base, "mean of folds", seed=0)
    pooled = combine([HALF, MOST], base, "pooled folds", seed=0)
    assert mean.value == pytest.approx((0.5 + 0.25) / 2)
    assert pooled.value == pytest.approx(0.7 - 0.4)


def test_a_video_in_two_folds_is_one_cluster() -> None:
    twice = combine([HALF, HALF], None, "mean of folds", seed=0)
    once = combine([HALF], None, "videos", seed=0)
    assert twice.num_clusters == 10
    assert twice.high - twice.low == pytest.approx(once.high - once.low, rel=0.05)


def test_seeds_widen_the_interval() -> None:
    rng = np.random.default_rng(0)
    alike = [run([1.0, 0.0] * 20) for _ in range(3)]
    apart = [run(((rng.random(40) < rate) * 1.0).tolist()) for rate in (0.3, 0.5, 0.7)]
    steady = combine(alike, None, "mean of seeds", seed=0)
    spread = combine(apart, None, "mean of seeds", seed=0)
    assert steady.value == 0.5
    assert steady.high - steady.low < 0.4
    # Student's t with 2 degrees of freedom: 4.303 * deviation / sqrt(3) alone on either side.
    means = [float(scores.values.mean()) for scores in apart]
    half = 4.3027 * float(np.std(means, ddof=1)) / np.sqrt(3)
    assert spread.value - spread.low >= min(half, spread.value)
    assert spread.high - spread.value >= min(half, 1 - spread.value)
    assert spread.method == "seeds and videos"


def test_coverage_over_seeds() -> None:
    # A training seed moves the rate by a deviation of 0.08; videos are a sample as well.
    rng = np.random.default_rng(1)
    covered = 0
    for number in range(150):
        ease = rng.random(80)
        rates = 0.5 + 0.08 * rng.normal(size=4)
        runs = [run((ease < rate).astype(float).tolist()) for rate in rates]
        found = combine(runs, None, "mean of seeds", seed=number, num_resamples=300)
        covered += found.low <= 0.5 <= found.high
    assert covered >= 0.92 * 150


def test_a_difference_over_seeds_may_be_negative() -> None:
    better = [run([1.0] * 19 + [0.0]), run([1.0] * 18 + [0.0] * 2)]
    worse = [run([0.0] * 19 + [1.0]), run([0.0] * 20)]
    found = combine(worse, better, "mean of seeds", seed=0)
    assert found.value == pytest.approx(0.025 - 0.925)
    assert -1 <= found.low < found.value < found.high < 0


def test_weights_are_kept() -> None:
    weighted = run([1.0] * 9 + [0.0] * 3, weights=[1 / 9] * 9 + [1 / 3] * 3)
    assert combine([weighted], None, "videos", seed=0).value == pytest.approx(0.5)
    other = run([1.0] * 12, "o", weights=[1 / 12] * 12)
    assert combine([weighted, other], None, "mean of folds", seed=0).value == pytest.approx(0.75)
    assert combine([weighted, weighted], None, "mean of seeds", seed=0).value == pytest.approx(0.5)


def test_senseless_combinations_are_refused() -> None:
    with pytest.raises(ConfigError, match="2 runs"):
        combine([HALF, MOST], None, "videos", seed=0)
    with pytest.raises(ConfigError, match="at least 2"):
        combine([HALF], None, "mean of seeds", seed=0)
    with pytest.raises(ConfigError, match="same videos"):
        combine([HALF, MOST], None, "mean of seeds", seed=0)


def test_draws_over_folds_widen_the_interval_by_hand() -> None:
    """Means over both folds of 0.5, 0.6, 0.6 and 0.7: a deviation of 0.0816, over 2, times 3.182."""
    rights = ((4, 6), (6, 6), (5, 7), (6, 8))
    folds = [
        [run([1.0] * draw[fold] + [0.0] * (10 - draw[fold]), "ab"[fold]) for draw in rights]
        for fold in (0, 1)
    ]
    found = combine_draws(folds, seed=0)
    means = [
        run(np.mean([draw.values for draw in draws], axis=0).tolist(), "ab"[fold])
        for fold, draws in enumerate(folds)
    ]
    videos = combine(means, None, "mean of folds", seed=0)
    assert found.value == videos.value == pytest.approx(0.6)
    half = 3.18245 * np.std([0.5, 0.6, 0.6, 0.7], ddof=1) / 2
    assert half == pytest.approx(0.1299, abs=1e-4)
    assert found.high - 0.6 == pytest.approx(np.hypot(half, videos.high - 0.6), rel=1e-4)
    assert 0.6 - found.low == pytest.approx(np.hypot(half, 0.6 - videos.low), rel=1e-4)


def test_draws_that_agree_leave_the_folds_interval() -> None:
    plain = combine([HALF, MOST], None, "mean of folds", seed=0)
    found = combine_draws([[HALF, HALF], [MOST, MOST]], seed=0)
    assert (found.low, found.high) == pytest.approx((plain.low, plain.high))


@pytest.mark.parametrize(
    ("folds", "message"),
    [
        ([[HALF], [MOST]], "same number of draws"),
        ([[HALF, HALF], [MOST, MOST, MOST]], "same number of draws"),
        ([[HALF, MOST]], "same videos"),
    ],
)
def test_draws_that_do_not_match_are_refused(folds: list[list[VideoScores]], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        combine_draws(folds, seed=0)
