"""Are two recordings of one speaker? Error rates of scores over trials, and what they are worth.

A trial is accepted when its score is at or above a threshold. Trials of equal scores are accepted
together, so that no order of ties can flatter.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from avrep.evaluation.metrics import Interval, statistic_intervals

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

P_TARGETS = (0.01, 0.05)
"""Shares of target trials for which minDCF is quoted (NIST SRE, VoxSRC)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorCurve:
    """Both error rates at each threshold, from one that accepts nothing to one that accepts all."""

    thresholds: Floats
    """Descending, the first infinite."""
    p_miss: Floats
    """Share of target trials below the threshold."""
    p_false_alarm: Floats
    """Share of other trials at or above it."""


class RankedTrials:
    """Trials in the order of their scores, ready to be weighed in many ways.

    Args:
        scores: float64[n], higher for likelier the same speaker.
        is_target: bool[n].

    Raises:
        ValueError: a score is no number, or the lengths differ.
    """

    def __init__(self, scores: Floats, is_target: Bools) -> None:
        if scores.shape != is_target.shape or scores.ndim != 1:
            raise ValueError(f"{scores.shape} scores of {is_target.shape} trials")
        if not np.isfinite(scores).all():
            raise ValueError("a trial's score is no number")
        self._order = np.argsort(-scores, kind="stable")
        ordered = scores[self._order]
        self._is_target = is_target[self._order]
        # The last trial of each run of equal scores.
        self._ends = np.flatnonzero(np.append(np.diff(ordered) != 0, True))
        self._thresholds = np.concatenate([[np.inf], ordered[self._ends]])

    def curve(self, weights: Floats | None = None) -> ErrorCurve | None:
        """The curve with trial i counted `weights[i]` times; None without trials of both kinds."""
        mass = np.ones(len(self._order)) if weights is None else weights[self._order]
        hits = np.cumsum(mass * self._is_target)[self._ends]
        alarms = np.cumsum(mass * ~self._is_target)[self._ends]
        if len(hits) == 0 or hits[-1] <= 0 or alarms[-1] <= 0:
            return None
        return ErrorCurve(
            thresholds=self._thresholds,
            p_miss=np.concatenate([[1.0], 1 - hits / hits[-1]]),
            p_false_alarm=np.concatenate([[0.0], alarms / alarms[-1]]),
        )


def error_curve(scores: Floats, is_target: Bools) -> ErrorCurve:
    """The curve of some trials; ValueError without trials of both kinds, or see `RankedTrials`."""
    curve = RankedTrials(scores, is_target).curve()
    if curve is None:
        raise ValueError("error rates need trials of the same and of different speakers")
    return curve


def equal_error_rate(curve: ErrorCurve) -> float:
    """Where misses are as frequent as false alarms, between points on the straight line.

    The same as where misses and false alarms meet on the linearly interpolated ROC curve, which the
    public toolkit finds numerically.
    """
    ahead = curve.p_false_alarm - curve.p_miss
    after = int(np.argmax(ahead >= 0))
    before = after - 1
    share = -ahead[before] / (ahead[after] - ahead[before])
    rates = curve.p_false_alarm
    return float(rates[before] + share * (rates[after] - rates[before]))


def min_detection_cost(
    curve: ErrorCurve, p_target: float, *, cost_miss: float = 1.0, cost_false_alarm: float = 1.0
) -> float:
    """minDCF: the least cost of any threshold, 1 being that of accepting all or nothing.

    NIST SRE: C_miss P_miss P_target + C_fa P_fa (1 - P_target), over the less of C_miss P_target and
    C_fa (1 - P_target).

    Args:
        curve: of the trials.
        p_target: how often a trial is expected to be a target, in (0, 1).
        cost_miss: of a target that is not accepted.
        cost_false_alarm: of any other that is.
    """
    miss, alarm = cost_miss * p_target, cost_false_alarm * (1 - p_target)
    costs = miss * curve.p_miss + alarm * curve.p_false_alarm
    return float(costs.min() / min(miss, alarm))


def verification_figures(
    scores: Floats, is_target: Bools, speakers: Sequence[tuple[str, str]], *, seed: int
) -> dict[str, Interval]:
    """EER as "eer", and "mindcf_0.01" and "mindcf_0.05", with intervals drawn over speakers.

    A resample draws speakers with replacement; a trial counts as often as both its speakers are drawn
    together (product of their counts, for one speaker its count), since trials that share a speaker
    tell less than as many that do not.

    Args:
        scores: float64[n].
        is_target: bool[n].
        speakers: of both sides of each trial.
        seed: decides the resamples.

    Raises:
        ValueError: see `error_curve`.
    """
    error_curve(scores, is_target)
    names = sorted({name for pair in speakers for name in pair})
    number = {name: row for row, name in enumerate(names)}
    first, second = np.array([[number[a], number[b]] for a, b in speakers]).T
    ranked = RankedTrials(scores, is_target)

    def figures(times: Floats) -> Floats:
        weights = np.where(first == second, times[first], times[first] * times[second])
        curve = ranked.curve(weights)
        if curve is None:
            return np.full(1 + len(P_TARGETS), np.nan)
        costs = [min_detection_cost(curve, p_target) for p_target in P_TARGETS]
        return np.array([equal_error_rate(curve), *costs])

    found = statistic_intervals(figures, len(names), seed=seed)
    labels = ["eer", *(f"mindcf_{p_target:g}" for p_target in P_TARGETS)]
    return dict(zip(labels, found, strict=True))
