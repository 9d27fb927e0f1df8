"""What a score on a few test videos is worth: intervals by resampling whole groups of videos.

An interval speaks of the test videos only: how far the mean might move with other videos (other
groups of videos) of the same kind. It knows nothing of other training runs; for that, train with
several seeds (`avrep.evaluation.aggregate`).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.stats import norm

from avrep.evaluation.draws import Draw, generator

Floats = npt.NDArray[np.float64]
Method = Literal["bootstrap", "wilson", "newcombe", "seeds and videos"]

MIN_CLUSTERS = 10
"""With fewer clusters, resampling them tells too little of their spread (avrep default)."""
_CHUNK = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A mean and how far it might move."""

    value: float
    low: float
    high: float
    num_clusters: int
    """Independent things that were averaged: groups of videos, or videos without a group."""
    method: Method


def wilson_interval(
    proportion: float, num_trials: float, confidence: float = 0.95
) -> tuple[float, float]:
    """Score interval of a proportion (Wilson 1927), sound for few trials and near 0 and 1.

    For the mean of scores that lie anywhere in [0, 1] it is wide enough too: their variance is at
    most that of zeros and ones of the same mean.
    """
    z = float(norm.ppf(0.5 + confidence / 2))
    centre = (proportion + z * z / (2 * num_trials)) / (1 + z * z / num_trials)
    spread = math.sqrt(
        proportion * (1 - proportion) / num_trials + z * z / (4 * num_trials * num_trials)
    )
    half = z * spread / (1 + z * z / num_trials)
    return max(0.0, min(proportion, centre - half)), min(1.0, max(proportion, centre + half))


def mean_interval(
    scores: Sequence[Floats],
    clusters: Sequence[Sequence[str]],
    *,
    seed: int,
    weights: Sequence[Floats] | None = None,
    confidence: float = 0.95,
    num_resamples: int = 2000,
) -> Interval:
    """Mean score over one test set, or the mean over the means of several, with its interval.

    Percentile bootstrap over clusters, each drawn whole (a cluster of the same name in several
    sets is one cluster). Zeros and ones without weights are never given less than Wilson's
    interval for as many independent videos, since the percentiles run short near 0 and 1. With
    fewer than `MIN_CLUSTERS` clusters, or when all scores are equal and resampling cannot move
    them, the interval is Wilson's with the number of clusters as the number of trials: the
    reading in which a cluster's videos all count as one. Those two rules are avrep defaults.

    Args:
        scores: per set, float64[n] in [0, 1], one per video.
        clusters: per set, the name of each video's cluster.
        seed: decides the resamples, so that the same call gives the same interval.
        weights: per set, float64[n], each video's weight in its set's mean; None: all the same.
        confidence: in (0, 1).
        num_resamples: how many times to resample.
    """
    value, resampled, num_clusters = _resample(scores, clusters, weights, seed, num_resamples)
    joined = np.concatenate(scores)
    if num_clusters < MIN_CLUSTERS or np.ptp(joined) == 0:
        low, high = wilson_interval(value, num_clusters, confidence)
        return Interval(value=value, low=low, high=high, num_clusters=num_clusters, method="wilson")
    low, high = _percentiles(resampled, value, confidence)
    if weights is None and np.isin(joined, (0.0, 1.0)).all():
        floor = wilson_interval(value, joined.size, confidence)
        low, high = min(low, floor[0]), max(high, floor[1])
    return Interval(value=value, low=low, high=high, num_clusters=num_clusters, method="bootstrap")


def difference_interval(
    scores: Sequence[Floats],
    baseline: Sequence[Floats],
    clusters: Sequence[Sequence[str]],
    *,
    seed: int,
    weights: Sequence[Floats] | None = None,
    confidence: float = 0.95,
    num_resamples: int = 2000,
) -> Interval:
    """Mean of `scores` minus mean of `baseline`, measured on the same videos, with its interval.

    Paired: both are resampled together, so what makes a video easy for both cancels. With fewer
    than `MIN_CLUSTERS` clusters, or when all differences are equal, the interval is Newcombe's
    hybrid (Statistics in Medicine 1998, method 10) of the two Wilson intervals by clusters, which
    takes no credit for pairing. Arguments as in `mean_interval`.
    """
    differences = [a - b for a, b in zip(scores, baseline, strict=True)]
    value, resampled, num_clusters = _resample(differences, clusters, weights, seed, num_resamples)
    if num_clusters < MIN_CLUSTERS or np.ptp(np.concatenate(differences)) == 0:
        low, high = _newcombe(
            _mean_of_means(scores, weights),
            _mean_of_means(baseline, weights),
            num_clusters,
            confidence,
        )
        return Interval(
            value=value, low=low, high=high, num_clusters=num_clusters, method="newcombe"
        )
    low, high = _percentiles(resampled, value, confidence)
    return Interval(value=value, low=low, high=high, num_clusters=num_clusters, method="bootstrap")


def statistic_intervals(
    statistic: Callable[[Floats], Floats],
    num_clusters: int,
    *,
    seed: int,
    confidence: float = 0.95,
    num_resamples: int = 1000,
) -> tuple[Interval, ...]:
    """Figures that are no means (an equal error rate, a rate of sums), each with its interval.

    Percentile bootstrap over clusters, each drawn whole. With fewer than `MIN_CLUSTERS` of them, or
    where no resample moves a figure, the interval also covers Wilson's with the number of clusters
    as the number of trials, in which a cluster counts as one (avrep default, as in `mean_interval`).

    Args:
        statistic: the figures, float64[m], of a test set that has each cluster as often as
            float64[num_clusters] says; NaN where such a set has none, and that resample is left out.
        num_clusters: how many there are.
        seed: decides the resamples.
        confidence: in (0, 1).
        num_resamples: how many times to resample.

    Raises:
        ValueError: a figure of the whole set is not finite.
    """
    values = statistic(np.ones(num_clusters))
    if not np.isfinite(values).all():
        raise ValueError(f"figures of the whole set are {values.tolist()}")
    rng = generator(seed, Draw.BOOTSTRAP)
    drawn = _times_drawn(num_clusters, num_resamples, rng)
    resampled = np.stack([statistic(times) for times in drawn])
    intervals = []
    for value, column in zip(values.tolist(), resampled.T, strict=True):
        found = column[np.isfinite(column)]
        low, high = _percentiles(found, value, confidence) if found.size else (value, value)
        is_wilson = num_clusters < MIN_CLUSTERS or low == high
        if is_wilson:
            floor = wilson_interval(min(max(value, 0.0), 1.0), num_clusters, confidence)
            low, high = min(low, floor[0]), max(high, floor[1])
        method: Method = "wilson" if is_wilson else "bootstrap"
        intervals.append(
            Interval(value=value, low=low, high=high, num_clusters=num_clusters, method=method)
        )
    return tuple(intervals)


def _newcombe(
    first: float, second: float, num_trials: int, confidence: float
) -> tuple[float, float]:
    low1, high1 = wilson_interval(first, num_trials, confidence)
    low2, high2 = wilson_interval(second, num_trials, confidence)
    value = first - second
    return (
        max(-1.0, value - math.hypot(first - low1, high2 - second)),
        min(1.0, value + math.hypot(high1 - first, second - low2)),
    )


def _percentiles(resampled: Floats, value: float, confidence: float) -> tuple[float, float]:
    tails = [(1 - confidence) / 2, (1 + confidence) / 2]
    low, high = np.quantile(resampled, tails).tolist()
    return min(low, value), max(high, value)


def _mean_of_means(scores: Sequence[Floats], weights: Sequence[Floats] | None) -> float:
    return float(
        np.mean(
            [
                np.average(values, weights=None if weights is None else weights[row])
                for row, values in enumerate(scores)
            ]
        )
    )


def _times_drawn(num_clusters: int, num_resamples: int, rng: np.random.Generator) -> Floats:
    """How often each resample holds each cluster, float64[resamples clusters]."""
    picked = rng.integers(0, num_clusters, size=(num_resamples, num_clusters))
    picked += num_clusters * np.arange(num_resamples)[:, None]
    times = np.bincount(picked.ravel(), minlength=num_resamples * num_clusters)
    return times.reshape(num_resamples, num_clusters).astype(np.float64)


def _resample(
    scores: Sequence[Floats],
    clusters: Sequence[Sequence[str]],
    weights: Sequence[Floats] | None,
    seed: int,
    num_resamples: int,
) -> tuple[float, Floats, int]:
    """The mean of means, its value in each resample, and the number of clusters."""
    if not scores or any(values.size == 0 for values in scores):
        raise ValueError("an interval needs at least one score in each set")
    names = sorted({name for part in clusters for name in part})
    number = {name: row for row, name in enumerate(names)}
    sums = np.zeros((len(names), len(scores)))
    masses = np.zeros_like(sums)
    for part, values in enumerate(scores):
        codes = [number[name] for name in clusters[part]]
        mass = np.ones_like(values) if weights is None else weights[part]
        np.add.at(sums[:, part], codes, values * mass)
        np.add.at(masses[:, part], codes, mass)
    rng = generator(seed, Draw.BOOTSTRAP)
    means = []
    for start in range(0, num_resamples, _CHUNK):
        size = min(_CHUNK, num_resamples - start)
        drawn = _times_drawn(len(names), size, rng)
        mass = drawn @ masses
        # A resample may leave a small set without any video: the mean is then over the others.
        present = mass > 0
        ratios = (drawn @ sums) / np.where(present, mass, 1)
        means.append(ratios.sum(axis=1) / present.sum(axis=1))
    return _mean_of_means(scores, weights), np.concatenate(means), len(names)
