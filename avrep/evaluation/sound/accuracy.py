"""Accuracies of a task on sounds, with intervals over speakers."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from avrep.evaluation.macro_f1 import Answers, macro_f1
from avrep.evaluation.metrics import Floats, Interval, mean_interval
from avrep.evaluation.task_result import Metric, as_metric


def accuracy(sets: Sequence[Answers], *, seed: int) -> Metric:
    """Share told right; of several test sets, such as folds, the mean of their shares.

    Chance is what the best constant answer scores.

    Args:
        sets: at least one, none empty.
        seed: of the interval's resamples.
    """
    chance = np.mean([max(Counter(each.labels).values()) / len(each.labels) for each in sets])
    return _metric("acc", sets, None, float(chance), seed)


def balanced_accuracy(sets: Sequence[Answers], *, seed: int) -> Metric:
    """Mean over classes of the share of each told right (unweighted average recall).

    Classes that a test set does not have do not count in it. Arguments as in `accuracy`.
    """
    chance = np.mean([1 / len(set(each.labels)) for each in sets])
    weights = [np.array(class_weights(each.labels)) for each in sets]
    return _metric("balanced acc", sets, weights, float(chance), seed)


def macro_f1_metric(sets: Sequence[Answers], *, seed: int) -> Metric:
    """See `macro_f1`."""
    return _made("macro f1", macro_f1(sets, seed=seed), sets, None)


def is_right(answers: Answers) -> Floats:
    """float64[n] of zeros and ones."""
    pairs = zip(answers.labels, answers.predicted, strict=True)
    return np.array([label == predicted for label, predicted in pairs], np.float64)


def class_weights(labels: Sequence[str]) -> list[float]:
    """Each example's weight where classes weigh the same, with sum 1."""
    counts = Counter(labels)
    return [1 / (len(counts) * counts[label]) for label in labels]


def _metric(
    name: str, sets: Sequence[Answers], weights: list[Floats] | None, chance: float, seed: int
) -> Metric:
    interval = mean_interval(
        [is_right(each) for each in sets],
        [each.clusters for each in sets],
        seed=seed,
        weights=weights,
    )
    return _made(name, interval, sets, chance)


def _made(name: str, interval: Interval, sets: Sequence[Answers], chance: float | None) -> Metric:
    return as_metric(name, interval, sum(len(each.labels) for each in sets), chance=chance)
