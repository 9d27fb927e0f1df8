"""Predicted classes against true ones: a score for every test video."""

import numpy as np
import numpy.typing as npt

from avrep.evaluation.features_table import FeatureTable
from avrep.evaluation.scores import Protocol, VideoScores

TOP_FEW = 5


def accuracies(
    protocol: Protocol,
    train_labels: tuple[str, ...],
    test: FeatureTable,
    label: str,
    predictions: npt.NDArray[np.str_],
    note: str,
) -> tuple[VideoScores, ...]:
    """Accuracy over videos, where chance is the guess of train's commonest class, and over classes.

    Of classes that are equally common, any is guessed: chance is the mean over them.
    """
    truth = np.asarray(test.label_set(label), dtype=np.str_)
    names, classes, counts = np.unique(truth, return_inverse=True, return_counts=True)
    right = (predictions == truth).astype(np.float64)
    weights = 1 / counts[classes]
    clusters = test.clusters()
    return tuple(
        VideoScores(
            protocol=protocol,
            label=label,
            metric=metric,
            keys=test.keys,
            values=right,
            weights=each,
            clusters=clusters,
            chance=chance,
            note=note,
        )
        for metric, each, chance in (
            ("top1", None, _chance(train_labels, truth, 1)),
            ("mean_class", weights, 1 / len(names)),
        )
    )


def top_few(
    protocol: Protocol,
    train_labels: tuple[str, ...],
    test: FeatureTable,
    label: str,
    ranked: npt.NDArray[np.str_],
    note: str,
) -> VideoScores:
    """Whether the true class is among the `TOP_FEW` likeliest; chance names train's commonest ones.

    Args:
        protocol: what gave the predictions.
        train_labels: class of each train video.
        test: the test videos.
        label: which label set.
        ranked: str[q k], each video's classes from the likeliest on, k at least `TOP_FEW`.
        note: for the scores.
    """
    truth = np.asarray(test.label_set(label), dtype=np.str_)
    return VideoScores(
        protocol=protocol,
        label=label,
        metric=f"top{TOP_FEW}",
        keys=test.keys,
        values=(ranked[:, :TOP_FEW] == truth[:, None]).any(axis=1).astype(np.float64),
        weights=None,
        clusters=test.clusters(),
        chance=_chance(train_labels, truth, TOP_FEW),
        note=note,
    )


def _chance(train_labels: tuple[str, ...], truth: npt.NDArray[np.str_], num: int) -> float:
    """Share of `truth` that is among train's `num` commonest classes, on average over ties."""
    known, frequencies = np.unique(train_labels, return_counts=True)
    shares = np.array([np.mean(truth == name) for name in known])
    last = np.sort(frequencies)[::-1][:num][-1]
    is_surer, is_tied = frequencies > last, frequencies == last
    room = min(num, len(known)) - is_surer.sum()
    return float(shares[is_surer].sum() + room * shares[is_tied].mean())
