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
    """Accuracy over videos, where chance is the guess of train's commonest class, and over classes."""
    truth = np.asarray(test.label_set(label), dtype=np.str_)
    names, classes, counts = np.unique(truth, return_inverse=True, return_counts=True)
    known, frequencies = np.unique(train_labels, return_counts=True)
    commonest = known[frequencies.argmax()]
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
            ("top1", None, float(np.mean(truth == commonest))),
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
    known, frequencies = np.unique(train_labels, return_counts=True)
    commonest = known[np.argsort(-frequencies, kind="stable")[:TOP_FEW]]
    return VideoScores(
        protocol=protocol,
        label=label,
        metric=f"top{TOP_FEW}",
        keys=test.keys,
        values=(ranked[:, :TOP_FEW] == truth[:, None]).any(axis=1).astype(np.float64),
        weights=None,
        clusters=test.clusters(),
        chance=float(np.isin(truth, commonest).mean()),
        note=note,
    )
