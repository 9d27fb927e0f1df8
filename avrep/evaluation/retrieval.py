"""Retrieval with frozen features: of videos of the same class, and of the same video."""

from collections.abc import Sequence
from typing import Annotated

import numpy as np
import numpy.typing as npt

from avrep.errors import ConfigError
from avrep.evaluation.features_table import Vectors
from avrep.evaluation.neighbours import l2_normalise, nearest

Hits = Annotated[npt.NDArray[np.float64], "q"]


def class_retrieval(
    queries: Vectors,
    query_labels: Sequence[str],
    gallery: Vectors,
    gallery_labels: Sequence[str],
    ks: Sequence[int],
    *,
    centre: bool = False,
) -> dict[int, Hits]:
    """Whether any of the k nearest gallery videos has the query's class, for each k.

    The protocol of VCOP, RSPNet, DSM and CoCLR: queries are all test videos, the gallery all train
    videos, nearness is cosine, and no query is left out.

    Args:
        queries: float32[q d].
        query_labels: q class names.
        gallery: float32[n d].
        gallery_labels: n class names.
        ks: depths; one deeper than the gallery is refused.
        centre: subtract the gallery's mean from both sides first. CoCLR centres (and gains by it),
            but each side by its own mean; ours lets the queries tell nothing of one another.

    Returns:
        Per k, float64[q] of 0 and 1.
    """
    if max(ks) > len(gallery):
        raise ConfigError(
            f"R@{max(ks)} needs {max(ks)} train videos, there are {len(gallery)}. "
            "Mend: leave that k out"
        )
    if centre:
        mean = gallery.mean(axis=0, dtype=np.float64)
        queries = (queries - mean).astype(np.float32)
        gallery = (gallery - mean).astype(np.float32)
    rows, _ = nearest(queries, gallery, max(ks))
    same = np.asarray(gallery_labels)[rows] == np.asarray(query_labels)[:, None]
    return {k: same[:, :k].any(axis=1).astype(np.float64) for k in ks}


def class_retrieval_chance(
    query_labels: Sequence[str], gallery_labels: Sequence[str], k: int
) -> float:
    """R@k of a gallery in random order: 1 minus the chance that k draws miss the query's class."""
    names, counts = np.unique(np.asarray(gallery_labels, dtype=np.str_), return_counts=True)
    count_of = dict(zip(names.tolist(), counts.tolist(), strict=True))
    size = len(gallery_labels)
    draws = np.arange(k)
    hits = []
    for label in query_labels:
        others = size - count_of.get(label, 0)
        hits.append(1 - float(np.prod(np.maximum(others - draws, 0) / (size - draws))))
    return float(np.mean(hits))


def instance_ranks(queries: Vectors, gallery: Vectors) -> npt.NDArray[np.int64]:
    """How many gallery rows are nearer to each query than its own, and how many are as near.

    Row i of both sides is the same item.

    Returns:
        int64[n 2]: others strictly nearer, others exactly as near.
    """
    unit_queries, unit_gallery = l2_normalise(queries), l2_normalise(gallery)
    counts = np.empty((len(queries), 2), dtype=np.int64)
    for row, query in enumerate(unit_queries):
        cosines = unit_gallery @ query
        counts[row] = (cosines > cosines[row]).sum(), (cosines == cosines[row]).sum() - 1
    return counts


def instance_retrieval(features: npt.NDArray[np.float32], ks: Sequence[int]) -> dict[str, Hits]:
    """Find the other clip of the same video: gallery of first clips, queries of last clips.

    With clips spread evenly over each video, first and last lie farthest apart. Where others are
    exactly as near as the right one, the score is its mean over the orders that the tie could
    have: an encoder that maps everything to one point scores chance, not 1.

    Args:
        features: float32[n v d] with v at least 2.
        ks: depths, each at most n.

    Returns:
        "R@k" per k and "MRR" (mean reciprocal rank), float64[n] in [0, 1].
    """
    if features.ndim != 3 or features.shape[1] < 2:
        raise ConfigError(
            "instance retrieval needs 2 clips or more of each video, features[n v d], "
            f"got {list(features.shape)}"
        )
    nearer, tied = instance_ranks(features[:, -1], features[:, 0]).T
    reciprocal = 1 / np.arange(1, len(features) + 1)
    upto = np.concatenate([[0.0], np.cumsum(reciprocal)])
    hits = {f"R@{k}": np.clip((k - nearer) / (tied + 1), 0, 1).astype(np.float64) for k in ks}
    return {**hits, "MRR": (upto[nearer + tied + 1] - upto[nearer]) / (tied + 1)}
