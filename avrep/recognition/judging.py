"""From logits of clips to a video's probabilities, and from those to a score to choose by."""

from collections.abc import Callable, Iterator
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from avrep.evaluation.features_table import FeatureTable
from avrep.models.mixed_precision import Precision, mixed_precision
from avrep.recognition.data import LabelledRows, TaskVideos
from avrep.recognition.row_scores import RowScores

SCORE = "validation_score"
"""What is chosen by: the share of held-out videos that are right and, of equals, the higher mean
probability of the right class."""
TOP1 = "validation_top1"


def mean_probabilities(
    views: Iterator[Tensor],
    logits_of: Callable[[Tensor], Tensor],
    average: Literal["probabilities", "logits"],
    precision: Precision,
) -> Tensor:
    """A video's probabilities, float32[b classes], from all its clips and crops.

    Args:
        views: clip after clip, each float[b crops 3 t h w].
        logits_of: float[n 3 t h w] -> float[n classes].
        average: what is averaged; the mean logits' softmax is given likewise.
        precision: "bf16" computes the logits under autocast.
    """
    sums: list[Tensor] = []
    count = 0
    for view in views:
        with mixed_precision(view.device, precision):
            logits = logits_of(view.flatten(0, 1))
        said = logits.float().unflatten(0, view.shape[:2])
        sums.append((said if average == "logits" else said.softmax(dim=-1)).sum(dim=1))
        count += view.shape[1]
    mean = torch.stack(sums).sum(dim=0) / count
    return mean.softmax(dim=-1) if average == "logits" else mean


def validation_score(
    probabilities: npt.NDArray[np.float32], labels: npt.NDArray[np.int64]
) -> dict[str, float]:
    """`SCORE` and `TOP1` of held-out videos.

    Of n videos the mean probability of the right class counts 1 / (2 n), less than one video more or
    less.

    Args:
        probabilities: float32[n classes].
        labels: int64[n].
    """
    num = len(labels)
    num_right = int((probabilities.argmax(axis=1) == labels).sum())
    probability = float(probabilities[np.arange(num), labels].mean(dtype=np.float64))
    return {SCORE: (num_right + probability / 2) / num, TOP1: num_right / num}


def labels_of(scores: RowScores, rows: LabelledRows) -> npt.NDArray[np.int64]:
    """int64[n]: the true class of each video that was asked."""
    return np.array(rows.labels(scores.rows), np.int64)


def videos_table(data: TaskVideos, scores: RowScores) -> FeatureTable:
    """What is known of the videos that were asked, with their probabilities as features."""
    rows = scores.rows.tolist()
    return data.task.table(rows, [data.catalog[row].key for row in rows], scores.scores)
