"""Retrieval across senses: the sound that goes with the pictures among all sounds, and the reverse."""

from collections.abc import Sequence
from typing import Literal

import numpy as np

from avrep.evaluation.features_table import Vectors
from avrep.evaluation.metrics import mean_interval
from avrep.evaluation.retrieval import instance_ranks
from avrep.evaluation.task_result import Metric, as_metric

Direction = Literal["a2v", "v2a"]


def cross_modal_retrieval(
    video: Vectors,
    audio: Vectors,
    clusters: Sequence[str],
    *,
    ks: Sequence[int] = (1, 5, 10),
    seed: int = 0,
) -> tuple[Metric, ...]:
    """R@k in both directions by cosine, over all items; row i of both sides is the same item.

    Where others are exactly as near as the right one, the score is its mean over the orders that the
    tie could have, so that features that know nothing score chance.

    Args:
        video: float32[n d].
        audio: float32[n d], in the same space.
        clusters: n names; items with the same name are not independent of one another.
        ks: depths; those deeper than n are left out.
        seed: decides the resamples of the intervals.
    """
    size = len(video)
    found: list[Metric] = []
    sides: tuple[tuple[Direction, Vectors, Vectors], ...] = (
        ("a2v", audio, video),
        ("v2a", video, audio),
    )
    for direction, queries, gallery in sides:
        nearer, tied = instance_ranks(queries, gallery).T
        for k in (k for k in ks if k <= size):
            hits = np.clip((k - nearer) / (tied + 1), 0, 1).astype(np.float64)
            spread = mean_interval([hits], [clusters], seed=seed)
            found.append(as_metric(f"{direction}_r@{k}", spread, size, chance=k / size))
    return tuple(found)
