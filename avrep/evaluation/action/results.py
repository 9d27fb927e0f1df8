"""Scores of the splits of a data set as results that can be quoted."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from avrep.evaluation.aggregate import Over, combine, combine_draws
from avrep.evaluation.features_table import FeatureTable
from avrep.evaluation.metrics import Interval
from avrep.evaluation.scores import VideoScores
from avrep.evaluation.task_result import DataFacts, EncoderFacts, Metric, TaskResult, as_metric

VERSION = 1
"""Of the protocols on frozen features."""

Setting = str | int | float | bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """What one protocol found on one split."""

    protocol: str
    """`linear`, `few-shot-5`, `linear-reversed`."""
    draws: tuple[tuple[VideoScores, ...], ...]
    """Per draw of the labels, per metric; one draw where nothing is drawn."""
    data: DataFacts
    settings: Mapping[str, Setting]
    notes: tuple[str, ...]
    clean: tuple[VideoScores, ...] | None = None
    """Of disturbed test clips: the same probe's scores on clean ones."""

    def means(self) -> tuple[VideoScores, ...]:
        """Each metric's scores, as the mean over draws."""
        return tuple(
            replace(each[0], values=np.mean([score.values for score in each], axis=0))
            for each in self.by_metric()
        )

    def by_metric(self) -> list[list[VideoScores]]:
        """Per metric, the scores of each draw."""
        return [[draw[place] for draw in self.draws] for place in range(len(self.draws[0]))]


def part_of(score: VideoScores, rows: slice, videos: FeatureTable) -> VideoScores:
    """A score's rows of one table of several that were asked together."""
    return replace(
        score,
        keys=videos.keys,
        values=score.values[rows],
        weights=None if score.weights is None else score.weights[rows],
        clusters=videos.clusters(),
    )


def results_over_splits(
    task: str,
    encoder: EncoderFacts,
    splits: Sequence[Scored],
    *,
    confidence: float,
    seed: int,
) -> tuple[TaskResult, ...]:
    """A result for each split of what one protocol found and, of several splits, one of their mean."""
    results = [
        split_result(task, encoder, scored, confidence=confidence, seed=seed) for scored in splits
    ]
    if len(splits) > 1:
        results.append(mean_result(task, encoder, splits, confidence=confidence, seed=seed))
    return tuple(results)


def split_result(
    task: str, encoder: EncoderFacts, scored: Scored, *, confidence: float, seed: int
) -> TaskResult:
    """The result on one split."""
    metrics = []
    for place, each in enumerate(scored.by_metric()):
        over: Over = "mean of seeds" if len(each) > 1 else "videos"
        found = combine(each, None, over, seed=seed, confidence=confidence)
        metrics.append(_metric(each[0], found, len(each[0].keys), confidence))
        if scored.clean is not None:
            changed = combine(
                each, [scored.clean[place]], "videos", seed=seed, confidence=confidence
            )
            metrics.append(_change(each[0], changed, len(each[0].keys), confidence))
    return TaskResult(
        task=task,
        protocol=scored.protocol,
        protocol_version=VERSION,
        encoder=encoder,
        data=scored.data,
        metrics=tuple(metrics),
        settings=dict(scored.settings),
        notes=scored.notes,
    )


def mean_result(
    task: str,
    encoder: EncoderFacts,
    splits: Sequence[Scored],
    *,
    confidence: float,
    seed: int,
) -> TaskResult:
    """The mean over a data set's splits, and each metric's standard deviation over them.

    A metric that not every split has, such as R@50 in a gallery of 40, is left out. The deviation is
    that of the splits' values (n - 1); it has no interval of its own, as splits
    share videos. Where labels are drawn several times, the interval has the spread of the draws too.
    """
    metrics: list[Metric] = []
    means = [{score.metric: score for score in scored.means()} for scored in splits]
    cleans = [{score.metric: score for score in scored.clean or ()} for scored in splits]
    for name in [name for name in means[0] if all(name in mean for mean in means)]:
        runs = [mean[name] for mean in means]
        draws = [_draws(scored, name) for scored in splits]
        found = (
            combine_draws(draws, seed=seed, confidence=confidence)
            if len(draws[0]) > 1
            else combine(runs, None, "mean of folds", seed=seed, confidence=confidence)
        )
        num_items = sum(len(run.keys) for run in runs)
        chance = float(np.mean([run.chance for run in runs]))
        metric = _metric(replace(runs[0], chance=chance), found, num_items, confidence)
        metrics += [metric, _deviation(metric, [_mean(run) for run in runs])]
        if all(cleans):
            baselines = [clean[name] for clean in cleans]
            changed = combine(runs, baselines, "mean of folds", seed=seed, confidence=confidence)
            metrics.append(_change(runs[0], changed, num_items, confidence))
    lead = next(iter(means[0]))
    each = ", ".join(f"{_mean(mean[lead]):.4f}" for mean in means)
    common = {
        name: value
        for name, value in splits[0].settings.items()
        if all(scored.settings.get(name) == value for scored in splits)
    }
    told = dict.fromkeys(note for scored in splits for note in scored.notes)
    return TaskResult(
        task=task,
        protocol=splits[0].protocol,
        protocol_version=VERSION,
        encoder=encoder,
        data=_joined([scored.data for scored in splits]),
        metrics=tuple(metrics),
        settings=common,
        notes=(
            f"{metrics[0].name} of the splits: {each}; _sd is the standard deviation over splits "
            "(n - 1), which has no interval",
            *told,
        ),
    )


def _draws(scored: Scored, metric: str) -> list[VideoScores]:
    """One metric's scores in each draw."""
    return [next(score for score in draw if score.metric == metric) for draw in scored.draws]


def _mean(score: VideoScores) -> float:
    return float(np.average(score.values, weights=score.weights))


def _metric(score: VideoScores, found: Interval, num_items: int, confidence: float) -> Metric:
    name = score.metric.lower()
    return as_metric(name, found, num_items, chance=score.chance, confidence=confidence)


def _change(score: VideoScores, found: Interval, num_items: int, confidence: float) -> Metric:
    """Disturbed minus clean, on the same videos."""
    change = _metric(score, found, num_items, confidence)
    return replace(change, name=f"{change.name}_change", chance=None)


def _deviation(metric: Metric, values: Sequence[float]) -> Metric:
    deviation = float(np.std(values, ddof=1))
    return replace(
        metric,
        name=f"{metric.name}_sd",
        value=deviation,
        ci_low=deviation,
        ci_high=deviation,
        higher_is_better=False,
        chance=None,
    )


def _joined(parts: Sequence[DataFacts]) -> DataFacts:
    digest = hashlib.sha256("\n".join(part.digest for part in parts).encode()).hexdigest()
    return DataFacts(
        name=parts[0].name,
        digest=digest,
        num_train=sum(part.num_train for part in parts),
        num_valid=sum(part.num_valid for part in parts),
        num_test=sum(part.num_test for part in parts),
        part=f"mean of {len(parts)} splits",
        other_lists=any(part.other_lists for part in parts),
    )
