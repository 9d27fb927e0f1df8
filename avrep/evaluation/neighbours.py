"""Nearest rows by cosine: what kNN and retrieval share."""

import numpy as np
import numpy.typing as npt

from avrep.evaluation.features_table import Vectors

_CHUNK = 512


def l2_normalise(vectors: Vectors) -> Vectors:
    """Rows of length 1, float32[n d]; a row of zeros stays zeros (it resembles nothing)."""
    wide = vectors.astype(np.float64)
    lengths = np.linalg.norm(wide, axis=1, keepdims=True)
    return (wide / np.where(lengths > 0, lengths, 1)).astype(np.float32)


def nearest(
    queries: Vectors, gallery: Vectors, k: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """The k gallery rows nearest to each query by cosine, nearest first; ties: the earlier row.

    Args:
        queries: float32[q d], any scale.
        gallery: float32[n d], any scale.
        k: at most n.

    Returns:
        Rows int64[q k] and their cosines float32[q k].
    """
    if not 1 <= k <= len(gallery):
        raise ValueError(f"k must be in [1, {len(gallery)}], got {k}")
    unit_gallery = l2_normalise(gallery)
    unit_queries = l2_normalise(queries)
    rows = np.empty((len(queries), k), dtype=np.int64)
    cosines = np.empty((len(queries), k), dtype=np.float32)
    for start in range(0, len(queries), _CHUNK):
        part = slice(start, start + _CHUNK)
        similar = unit_queries[part] @ unit_gallery.T
        rows[part] = _first(-similar, k)
        cosines[part] = np.take_along_axis(similar, rows[part], axis=1)
    return rows, cosines


def _first(distances: npt.NDArray[np.float32], k: int) -> npt.NDArray[np.int64]:
    """Columns of each row's k smallest values, ascending; of equals, the earlier column."""
    some = np.sort(np.argpartition(distances, k - 1, axis=1)[:, :k], axis=1)
    values = np.take_along_axis(distances, some, axis=1)
    found = np.take_along_axis(some, np.argsort(values, axis=1, kind="stable"), axis=1)
    # A partition takes any of the values that tie for the last place; the whole order decides there.
    tied = np.flatnonzero((distances <= values.max(axis=1, keepdims=True)).sum(axis=1) > k)
    if tied.size:
        found[tied] = np.argsort(distances[tied], axis=1, kind="stable")[:, :k]
    return found
