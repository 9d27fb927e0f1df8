"""What an error rate is worth: intervals for a sum over a sum, by resampling whole speakers."""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.stats import t as student

from avrep.evaluation.draws import Draw, generator
from avrep.evaluation.metrics import MIN_CLUSTERS, wilson_interval
from avrep.evaluation.task_result import Metric

Floats = npt.NDArray[np.float64]

_NUM_RESAMPLES = 2000


def ratio_metric(
    name: str,
    numerators: Floats,
    denominators: Floats,
    clusters: Sequence[str],
    *,
    seed: int,
    higher_is_better: bool = False,
    most: float = math.inf,
    chance: float | None = None,
    confidence: float = 0.95,
) -> Metric:
    """The sum of one over the sum of the other, with its interval.

    Percentile bootstrap over clusters, each drawn whole. With fewer than `MIN_CLUSTERS` of them,
    Student's interval of the linearised ratio (Cochran, Sampling Techniques, 1977, section 6.4) over
    clusters, which knows how little a few of them tell. Where the ratio is the same in each cluster,
    so that neither can move it, Wilson's with as many trials as clusters. A single cluster says
    nothing of others: then the items stand for themselves.

    Args:
        name: of the metric.
        numerators: float64[n], at least 0: an utterance's edits.
        denominators: float64[n], at least 0: its reference tokens; ones for a plain mean.
        clusters: n names, such as speakers.
        seed: decides the resamples.
        higher_is_better: False for an error rate.
        most: that the ratio can be; 1 for a mean of scores, while an error rate has no bound.
        chance: what features that know nothing score.
        confidence: in (0, 1).

    Raises:
        ValueError: there is nothing to divide by.
    """
    if denominators.sum() <= 0:
        raise ValueError(f"{name}: the references are empty")
    names, codes = np.unique(np.asarray(clusters, np.str_), return_inverse=True)
    if len(names) == 1:
        codes = np.arange(len(numerators))
    num_clusters = int(codes.max()) + 1
    tops, bottoms = np.zeros(num_clusters), np.zeros(num_clusters)
    np.add.at(tops, codes, numerators)
    np.add.at(bottoms, codes, denominators)
    value = float(tops.sum() / bottoms.sum())
    low, high = _interval(tops, bottoms, value, seed, confidence)
    return Metric(
        name=name,
        value=value,
        ci_low=min(low, value),
        ci_high=max(min(high, most), value),
        num_items=len(numerators),
        num_clusters=num_clusters,
        higher_is_better=higher_is_better,
        chance=chance,
        confidence=confidence,
    )


def _interval(
    tops: Floats, bottoms: Floats, value: float, seed: int, confidence: float
) -> tuple[float, float]:
    num_clusters = len(tops)
    # What a cluster has more than its share.
    residuals = tops - value * bottoms
    if np.abs(residuals).max() <= 1e-9 * max(1.0, tops.max()):
        return wilson_interval(min(value, 1.0), num_clusters, confidence)
    if num_clusters < MIN_CLUSTERS:
        variance = num_clusters / (num_clusters - 1) * np.square(residuals).sum()
        quantile = float(student.ppf(0.5 + confidence / 2, num_clusters - 1))
        half = quantile * math.sqrt(float(variance)) / float(bottoms.sum())
        return max(0.0, value - half), value + half
    drawn = generator(seed, Draw.BOOTSTRAP).multinomial(
        num_clusters, np.full(num_clusters, 1 / num_clusters), size=_NUM_RESAMPLES
    )
    totals = drawn @ bottoms
    ratios = (drawn @ tops)[totals > 0] / totals[totals > 0]
    tails = [(1 - confidence) / 2, (1 + confidence) / 2]
    low, high = np.quantile(ratios, tails).tolist()
    return low, high
