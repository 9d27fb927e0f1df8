"""Macro-F1: the mean over classes of how well each is found, and of how few others are taken for it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from avrep.evaluation.draws import Draw, generator
from avrep.evaluation.metrics import MIN_CLUSTERS, Floats, Interval, wilson_interval

_CHUNK = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """What a classifier said of one test set."""

    labels: tuple[str, ...]
    """What was to be told of each item."""
    predicted: tuple[str, ...]
    clusters: tuple[str, ...]
    """Items of one cluster are not independent."""


def macro_f1(sets: Sequence[Answers], *, seed: int, num_resamples: int = 2000) -> Interval:
    """Macro-F1 of one test set, or the mean over several, with its interval at 95 %.

    Classes are those that occur among the labels or the predictions; one without both counts as 0, as
    scikit-learn has it. Percentile bootstrap over clusters, each drawn whole, a cluster of the same
    name in several sets one cluster; with fewer than `MIN_CLUSTERS` clusters, or where resampling
    moves nothing, Wilson's interval with the number of clusters for the number of trials.

    Args:
        sets: at least one, none empty.
        seed: decides the resamples.
        num_resamples: how many times to resample.
    """
    names = sorted({name for each in sets for name in each.clusters})
    counts = [_counts(each, names) for each in sets]
    value = float(np.mean([_f1(each.sum(axis=0)[None]) for each in counts]))
    rng = generator(seed, Draw.BOOTSTRAP)
    resampled = np.concatenate(
        [
            _resampled(counts, rng, min(_CHUNK, num_resamples - first))
            for first in range(0, num_resamples, _CHUNK)
        ]
    )
    if len(names) < MIN_CLUSTERS or np.ptp(resampled) == 0:
        low, high = wilson_interval(value, len(names))
        return Interval(value=value, low=low, high=high, num_clusters=len(names), method="wilson")
    low, high = np.quantile(resampled, [0.025, 0.975]).tolist()
    return Interval(
        value=value,
        low=min(low, value),
        high=max(high, value),
        num_clusters=len(names),
        method="bootstrap",
    )


def _counts(answers: Answers, cluster_names: Sequence[str]) -> Floats:
    """float64[clusters 3 classes]: of each class how often right, how often there, how often told."""
    classes = {name: n for n, name in enumerate(sorted({*answers.labels, *answers.predicted}))}
    rows = {name: n for n, name in enumerate(cluster_names)}
    counts = np.zeros((len(rows), 3, len(classes)))
    for label, predicted, cluster in zip(
        answers.labels, answers.predicted, answers.clusters, strict=True
    ):
        row = rows[cluster]
        counts[row, 0, classes[label]] += label == predicted
        counts[row, 1, classes[label]] += 1
        counts[row, 2, classes[predicted]] += 1
    return counts


def _resampled(counts: Sequence[Floats], rng: np.random.Generator, num: int) -> Floats:
    """float64[num]: the mean over sets in each of so many resamples."""
    num_clusters = len(counts[0])
    times = rng.multinomial(num_clusters, [1 / num_clusters] * num_clusters, num)
    found = np.array([_f1(np.tensordot(times, each, axes=1)) for each in counts])
    # A resample may leave a set without any item: the mean is then over the others.
    return np.nanmean(found, axis=0)


def _f1(counts: Floats) -> Floats:
    """float64[n]: mean over the classes that occur, of counts float64[n 3 classes]; NaN if none do."""
    right, present = counts[:, 0], counts[:, 1] + counts[:, 2]
    occurs = present > 0
    f1 = np.divide(2 * right, present, out=np.zeros_like(right), where=occurs)
    num_classes = occurs.sum(axis=1)
    empty = np.full(len(counts), np.nan)
    return np.divide(f1.sum(axis=1), num_classes, out=empty, where=num_classes > 0)
