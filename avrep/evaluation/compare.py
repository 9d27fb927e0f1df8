"""A pretrained encoder beside the untrained one: rows of results, and rows of their difference."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from avrep.errors import ConfigError
from avrep.evaluation.aggregate import Over, combine
from avrep.evaluation.features_table import FeatureTable
from avrep.evaluation.metrics import Interval
from avrep.evaluation.protocols import ProtocolConfig, score_features
from avrep.evaluation.results import Encoder, EvalRow, Task
from avrep.evaluation.scores import VideoScores


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitFeatures:
    """One encoder's features of the train and of the test videos."""

    train: FeatureTable
    test: FeatureTable


def evaluate_features(
    pretrained: SplitFeatures,
    untrained: SplitFeatures,
    *,
    label: str,
    task: Task,
    config: ProtocolConfig,
    fold: int | None = None,
    seed: int = 0,
) -> tuple[EvalRow, ...]:
    """Measure both encoders by the same protocols on the same videos.

    Both tune their probes on the same held-out train videos, and their difference is resampled
    in pairs.

    Args:
        pretrained: features of the encoder in question.
        untrained: features of the same architecture at its random start, of the same clips.
        label: which label set.
        task: what the videos are.
        config: protocols and their settings.
        fold: which official split, from 1; None for the only one.
        seed: the run's seed; also decides held-out videos and resamples.

    Returns:
        Per metric: pretrained, untrained, difference.

    Raises:
        ConfigError: the two encoders were not given the same videos in the same order.
    """
    for mine, other in ((pretrained.train, untrained.train), (pretrained.test, untrained.test)):
        same = mine.keys == other.keys and mine.groups == other.groups
        if not same or mine.label_set(label) != other.label_set(label):
            raise ConfigError("the two encoders must be given the same videos, in the same order")
    runs = [
        score_features(tables.train, tables.test, label, config=config, seed=seed)
        for tables in (pretrained, untrained)
    ]
    return compare_scores([runs[0]], [runs[1]], task=task, config=config, fold=fold, seed=seed)


def compare_scores(
    pretrained: Sequence[tuple[VideoScores, ...]],
    untrained: Sequence[tuple[VideoScores, ...]],
    *,
    task: Task,
    config: ProtocolConfig,
    over: Over = "videos",
    fold: int | None = None,
    seed: int = 0,
) -> tuple[EvalRow, ...]:
    """Rows of one run, or over several (folds, seeds), from what `score_features` gave for each.

    Args:
        pretrained: per run, its scores.
        untrained: the same runs of the untrained encoder.
        task: what the videos are.
        config: confidence and resamples.
        over: what several runs are.
        fold: from 1; None over several folds.
        seed: the run's seed (over several seeds, the first); also decides the resamples.

    Returns:
        Per metric that all runs have: pretrained, untrained, difference.
    """
    if len(pretrained) != len(untrained) or not pretrained:
        raise ConfigError(f"{len(pretrained)} pretrained runs, {len(untrained)} untrained ones")
    rows: list[EvalRow] = []
    for first in pretrained[0]:
        ours = [_same_metric(run, first) for run in pretrained]
        theirs = [_same_metric(run, first) for run in untrained]
        mine = [scores for scores in ours if scores is not None]
        other = [scores for scores in theirs if scores is not None]
        if len(mine) < len(ours) or len(other) < len(theirs):
            continue
        if any(a.keys != b.keys for a, b in zip(mine, other, strict=True)):
            raise ConfigError("the two encoders must be tested on the same videos, in order")
        rows.extend(_rows(mine, other, task=task, config=config, over=over, fold=fold, seed=seed))
    return tuple(rows)


def _same_metric(run: Sequence[VideoScores], wanted: VideoScores) -> VideoScores | None:
    for scores in run:
        if (scores.protocol, scores.label, scores.metric) == (
            wanted.protocol,
            wanted.label,
            wanted.metric,
        ):
            return scores
    return None


def _rows(
    ours: Sequence[VideoScores],
    theirs: Sequence[VideoScores],
    *,
    task: Task,
    config: ProtocolConfig,
    over: Over,
    fold: int | None,
    seed: int,
) -> list[EvalRow]:
    def interval(runs: Sequence[VideoScores], base: Sequence[VideoScores] | None) -> Interval:
        return combine(
            runs,
            base,
            over,
            seed=seed,
            confidence=config.confidence,
            num_resamples=config.num_resamples,
        )

    chance = float(np.mean([scores.chance for scores in ours]))
    found: tuple[tuple[Encoder, Interval, float, str], ...] = (
        ("pretrained", interval(ours, None), chance, _note(ours)),
        ("untrained", interval(theirs, None), chance, _note(theirs)),
        ("difference", interval(ours, theirs), 0.0, ""),
    )
    return [
        EvalRow(
            task=task,
            protocol=ours[0].protocol,
            label=ours[0].label,
            encoder=encoder,
            metric=ours[0].metric,
            value=measured.value,
            ci_low=measured.low,
            ci_high=measured.high,
            num_test=len({key for scores in ours for key in scores.keys}),
            num_clusters=measured.num_clusters,
            chance=chance_of,
            fold=fold,
            seed=seed,
            over=over,
            interval=measured.method,
            confidence=config.confidence,
            note=note,
        )
        for encoder, measured, chance_of, note in found
    ]


def _note(runs: Sequence[VideoScores]) -> str:
    return "; ".join(dict.fromkeys(scores.note for scores in runs if scores.note))
