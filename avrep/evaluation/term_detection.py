"""Is a spoken query in a document? Term-weighted value, as QUESST 2014 scores it.

    TWV(threshold) = 1 - mean over queries of ( P_miss + beta P_fa )
    beta = C_fa / C_miss * (1 / P_target - 1)

1 is perfect, 0 is what finding nothing is worth. Anguera et al., "Query by Example Search on Speech at
MediaEval 2014" (CEUR-WS 1263), after NIST's Spoken Term Detection 2006: a trial is a query and a
document, with C_fa 1, C_miss 100 and P_target 0.0008, so that beta is 12.49. Queries that occur in no
document are left out, as the challenge's scoring tool leaves them out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

DEFAULT_SCORE = -10.0
"""Of a trial that a system gave none; what SUPERB hands to the scoring tool."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TermCosts:
    """What errors are worth."""

    p_target: float = 0.0008
    cost_miss: float = 100.0
    cost_false_alarm: float = 1.0

    @property
    def beta(self) -> float:
        return self.cost_false_alarm / self.cost_miss * (1 / self.p_target - 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class TermTrials:
    """Every query against every document."""

    scores: Floats
    """float64[q d]"""
    is_target: Bools
    """bool[q d]"""

    def __post_init__(self) -> None:
        if self.scores.shape != self.is_target.shape or self.scores.ndim != 2:
            raise ValueError(f"scores {self.scores.shape} of trials {self.is_target.shape}")
        if not np.isfinite(self.scores).all():
            raise ValueError("a trial's score is no number")


def term_trials(
    queries: Sequence[str],
    documents: Sequence[str],
    targets: Mapping[str, frozenset[str]],
    scores: Mapping[str, Mapping[str, float]],
    default_score: float = DEFAULT_SCORE,
) -> TermTrials:
    """The trials of a ground truth and of what a system said of some of them.

    Args:
        queries: all that are scored; those without a document are left out.
        documents: all that are searched.
        targets: the documents that each query occurs in.
        scores: of some queries in some documents; others have `default_score`.
        default_score: see there.

    Raises:
        ValueError: no query occurs in any document.
    """
    column = {document: number for number, document in enumerate(documents)}
    seen = [query for query in queries if targets.get(query, frozenset()) & column.keys()]
    if not seen:
        raise ValueError("no query occurs in any document")
    values = np.full((len(seen), len(documents)), default_score)
    is_target = np.zeros(values.shape, dtype=np.bool_)
    for row, query in enumerate(seen):
        for document in targets[query] & column.keys():
            is_target[row, column[document]] = True
        for document, score in scores.get(query, {}).items():
            if document in column:
                values[row, column[document]] = score
    return TermTrials(scores=values, is_target=is_target)


class RankedTerms:
    """A challenge's trials in the order of their scores.

    Each trial is one step down from 1 or up from 0: what accepting it changes of TWV, times the number
    of queries. So any weights of queries cost one pass.

    Args:
        trials: every query has a target, and a document that is none.
        costs: the challenge's.
    """

    def __init__(self, trials: TermTrials, costs: TermCosts | None = None) -> None:
        costs = costs or TermCosts()
        num_documents = trials.is_target.shape[1]
        num_targets = trials.is_target.sum(axis=1, keepdims=True)
        if not ((num_targets > 0) & (num_targets < num_documents)).all():
            raise ValueError("every query needs a document with it and one without it")
        alarm = costs.beta / (num_documents - num_targets)
        gains = np.where(trials.is_target, 1 / num_targets, -alarm)
        # Trials of the lowest score, mostly those that were given none, are accepted all at once, last.
        lowest = trials.scores.min()
        ranked = np.flatnonzero(trials.scores > lowest)
        scores = trials.scores.ravel()[ranked]
        order = np.argsort(-scores, kind="stable")
        self._query = ranked[order] // num_documents
        self._gains = gains.ravel()[ranked[order]]
        self._ends = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True)[: len(scores)])
        self._all_accepted = 1 - costs.beta
        self.num_queries = len(trials.scores)
        self.num_trials = trials.scores.size
        self.thresholds = np.concatenate([[np.inf], scores[order][self._ends], [lowest]])

    def values(self, weights: Floats | None = None) -> Floats:
        """TWV at each of `thresholds`, a trial being accepted at or above it.

        Args:
            weights: float64[q], how often each query counts; None: once.
        """
        mass = np.ones(self.num_queries) if weights is None else weights
        gained = np.cumsum(self._gains * mass[self._query])[self._ends]
        values = np.concatenate([[0.0], gained / mass.sum()])
        return np.append(values, self._all_accepted)


def maximum_twv(ranked: RankedTerms, weights: Floats | None = None) -> tuple[float, float]:
    """MTWV, the best of one threshold for all queries, and that threshold (the highest such).

    Never below 0: an infinite threshold finds nothing. Arguments as in `RankedTerms.values`.
    """
    values = ranked.values(weights)
    best = int(np.argmax(values))
    return float(values[best]), float(ranked.thresholds[best])


def actual_twv(ranked: RankedTerms, threshold: float, weights: Floats | None = None) -> float:
    """ATWV: of the trials whose score is above `threshold`, as SUPERB says YES above 2.

    Other arguments as in `RankedTerms.values`.
    """
    accepted = int(np.count_nonzero(ranked.thresholds > threshold)) - 1
    return float(ranked.values(weights)[accepted])
