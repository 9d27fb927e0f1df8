"""Several measurements as one number: the folds of a data set, or runs with several seeds."""

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
from scipy.stats import t as student

from avrep.errors import ConfigError
from avrep.evaluation.metrics import Floats, Interval, difference_interval, mean_interval
from avrep.evaluation.scores import PerItem

Over = Literal["videos", "mean of folds", "pooled folds", "mean of seeds"]
"""What a number is a mean over: one test set; several folds, each the same weight or each video
the same weight; several training runs on one test set."""


def combine(
    runs: Sequence[PerItem],
    baseline: Sequence[PerItem] | None,
    over: Over,
    *,
    seed: int,
    confidence: float = 0.95,
    num_resamples: int = 2000,
) -> Interval:
    """Mean of the runs, or of the runs minus their baselines, with an interval.

    - "videos": one run.
    - "mean of folds": mean of the folds' means, as results over UCF101's three splits are quoted.
      A cluster in several folds is resampled in all of them at once.
    - "pooled folds": every video of every fold once, and the same weight.
    - "mean of seeds": runs that differ in the training seed, on the same videos. The spread of the
      runs' means (Student's t) and that of the videos (bootstrap of each video's mean over runs)
      add in quadrature on either side, an avrep default: other seeds and other videos both move
      the number, and independently.

    Raises:
        ConfigError: "videos" of several runs, or "mean of seeds" of one or on different videos.
    """
    if over == "videos" and len(runs) != 1:
        raise ConfigError(f"{len(runs)} runs: say what they are, 'mean of folds', for one")
    if over == "mean of seeds" and len(runs) < 2:
        raise ConfigError("one run says nothing of other seeds: give at least 2")
    if over == "mean of seeds" and len({run.keys for run in runs}) != 1:
        raise ConfigError("runs with several seeds must be tested on the same videos, same order")
    bases = None if baseline is None else [run.values for run in baseline]
    values, weights, clusters = _parts(runs)
    if over == "pooled folds":
        values, bases = [np.concatenate(values)], bases and [np.concatenate(bases)]
        weights = weights and [np.concatenate(weights)]
        clusters = [tuple(name for part in clusters for name in part)]
    elif over == "mean of seeds":
        return _over_seeds(runs, values, bases, seed, confidence, num_resamples)
    return _interval(values, bases, clusters, weights, seed, confidence, num_resamples)


def _parts(
    runs: Sequence[PerItem],
) -> tuple[list[Floats], list[Floats] | None, list[tuple[str, ...]]]:
    given = [run.weights for run in runs if run.weights is not None]
    return (
        [run.values for run in runs],
        given if len(given) == len(runs) else None,
        [run.clusters for run in runs],
    )


def _interval(
    values: list[Floats],
    bases: list[Floats] | None,
    clusters: list[tuple[str, ...]],
    weights: list[Floats] | None,
    seed: int,
    confidence: float,
    num_resamples: int,
) -> Interval:
    if bases is None:
        return mean_interval(
            values,
            clusters,
            seed=seed,
            weights=weights,
            confidence=confidence,
            num_resamples=num_resamples,
        )
    return difference_interval(
        values,
        bases,
        clusters,
        seed=seed,
        weights=weights,
        confidence=confidence,
        num_resamples=num_resamples,
    )


def _over_seeds(
    runs: Sequence[PerItem],
    values: list[Floats],
    bases: list[Floats] | None,
    seed: int,
    confidence: float,
    num_resamples: int,
) -> Interval:
    weights = runs[0].weights
    videos = _interval(
        [np.mean(values, axis=0)],
        None if bases is None else [np.mean(bases, axis=0)],
        [runs[0].clusters],
        None if weights is None else [weights],
        seed,
        confidence,
        num_resamples,
    )
    means = np.array([np.average(run, weights=weights) for run in values])
    if bases is not None:
        means -= [np.average(run, weights=weights) for run in bases]
    floor = 0.0 if bases is None else -1.0
    return _widened(videos, means, confidence, floor)


def combine_draws(
    folds: Sequence[Sequence[PerItem]],
    *,
    seed: int,
    confidence: float = 0.95,
    num_resamples: int = 2000,
) -> Interval:
    """Mean of several folds, each the mean over as many draws of the labels, with an interval.

    The spread of the draws' means over folds (Student's t) and that of the videos (bootstrap of each
    video's mean over draws) add in quadrature, as in `combine` over seeds.

    Args:
        folds: per fold, its draws; the k-th of one fold is drawn as the k-th of another.
        seed: decides the resamples.
        confidence: of the interval.
        num_resamples: of the bootstrap.

    Raises:
        ConfigError: a fold has fewer than 2 draws or others than the first, or the draws of a fold are
            not of the same videos.
    """
    num_draws = len(folds[0])
    if num_draws < 2 or any(len(draws) != num_draws for draws in folds):
        raise ConfigError("every fold needs the same number of draws, at least 2")
    if any(draw.keys != draws[0].keys for draws in folds for draw in draws):
        raise ConfigError("draws must be tested on the same videos, same order")
    _, weights, clusters = _parts([draws[0] for draws in folds])
    over_draws = [np.mean([draw.values for draw in draws], axis=0) for draws in folds]
    videos = _interval(over_draws, None, clusters, weights, seed, confidence, num_resamples)
    means = np.mean(
        [[np.average(draw.values, weights=draw.weights) for draw in draws] for draws in folds],
        axis=0,
    )
    return _widened(videos, means, confidence, 0.0)


def _widened(videos: Interval, means: Floats, confidence: float, floor: float) -> Interval:
    """An interval over videos, widened by the spread of the means of several runs."""
    error = float(np.std(means, ddof=1)) / math.sqrt(len(means))
    half = float(student.ppf(0.5 + confidence / 2, len(means) - 1)) * error
    return Interval(
        value=videos.value,
        low=max(floor, videos.value - math.hypot(half, videos.value - videos.low)),
        high=min(1.0, videos.value + math.hypot(half, videos.high - videos.value)),
        num_clusters=videos.num_clusters,
        method="seeds and videos",
    )
