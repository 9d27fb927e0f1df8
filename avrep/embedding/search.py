"""The clips of a store that are nearest to a vector: exact, by cosine, in bounded memory."""

from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from avrep.embedding.store import FeatureRows, FeatureStore, Vectors
from avrep.errors import ConfigError

Project = Callable[[Vectors], Vectors]
"""From a store's vectors into the space of the query."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """A clip that was found."""

    similarity: float
    """The cosine, in [-1, 1]."""
    row: int
    """Of the store."""
    key: str
    """The item's."""
    start_s: float
    end_s: float


def nearest_clips(
    store: FeatureStore,
    query: npt.NDArray[np.float32],
    k: int,
    *,
    project: Project | None = None,
    one_per_item: bool = False,
) -> tuple[Hit, ...]:
    """The k clips nearest to a vector, nearest first; of equals the earlier in the catalogue.

    Every clip is looked at, 1,024 at a time: what is in memory does not grow with the store.

    Args:
        store: where to look.
        query: float32[d].
        k: at most; fewer where the store has fewer.
        project: of the store's vectors, before they are compared.
        one_per_item: of each item the nearest clip only.

    Raises:
        ConfigError: the query's width is not the store's, or it is all zeros.
    """
    wanted = query.astype(np.float64)
    length = float(np.linalg.norm(wanted))
    if length == 0 or not np.isfinite(length):
        raise ConfigError("the query's vector is zero or not finite: it resembles nothing")
    best = _Best(k, one_per_item)
    first = 0
    for rows in store.batches():
        vectors = rows.vectors if project is None else project(rows.vectors)
        if vectors.shape[1:] != wanted.shape:
            raise ConfigError(
                f"the query has {wanted.size} numbers and the clips {vectors.shape[1]}: they are "
                "of different encoders"
            )
        best.add(rows, cosines(vectors, wanted / length), first)
        first += len(rows)
    return tuple(best.hits)


def cosines(vectors: Vectors, unit: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """float64[n]: the cosine of each row with a vector of length 1; 0 of a row of zeros.

    Each row is summed by itself, so that equal rows have equal cosines wherever they stand.
    """
    wide = vectors.astype(np.float64)
    lengths = np.sqrt((wide * wide).sum(axis=1))
    return np.clip((wide * unit).sum(axis=1) / np.where(lengths > 0, lengths, 1), -1, 1)


class _Best:
    """The k best so far, in order."""

    def __init__(self, k: int, one_per_item: bool) -> None:
        self.hits: list[Hit] = []
        self._k = k
        self._one_per_item = one_per_item

    def add(self, rows: FeatureRows, similar: npt.NDArray[np.float64], first: int) -> None:
        """Look at some rows, of which the first is the store's row `first`."""
        for place in np.argsort(-similar, kind="stable").tolist():
            # Rows come in their order, so that of equals the one that is there already stays.
            if len(self.hits) == self._k and similar[place] <= self.hits[-1].similarity:
                return
            hit = Hit(
                similarity=float(similar[place]),
                row=first + place,
                key=rows.keys[place],
                start_s=float(rows.start_s[place]),
                end_s=float(rows.end_s[place]),
            )
            if self._one_per_item and not self._replaces(hit):
                continue
            self.hits.insert(bisect_left(self.hits, _order(hit), key=_order), hit)
            del self.hits[self._k :]

    def _replaces(self, hit: Hit) -> bool:
        """Whether it is its item's best; then the earlier one is gone."""
        for place, other in enumerate(self.hits):
            if other.key == hit.key:
                if other.similarity >= hit.similarity:
                    return False
                del self.hits[place]
                return True
        return True


def _order(hit: Hit) -> tuple[float, int]:
    return -hit.similarity, hit.row
