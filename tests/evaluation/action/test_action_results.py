"""Proves the numbers of a result by hand: of a split, of several, of draws and of disturbed clips."""

from collections.abc import Sequence

import numpy as np
import pytest

from avrep.evaluation.action.results import Scored, mean_result, part_of, split_result
from avrep.evaluation.features_table import FeatureTable, joined_tables
from avrep.evaluation.protocols import ProtocolConfig, score_features
from avrep.evaluation.scores import VideoScores
from avrep.evaluation.task_result import DataFacts, EncoderFacts

ENCODER = EncoderFacts(name="e", digest="d", num_parameters=1)


def scores(values: Sequence[float], fold: int = 1) -> tuple[VideoScores, ...]:
    return (
        VideoScores(
            protocol="linear",
            label="class",
            metric="top1",
            keys=tuple(f"v{fold}-{row}" for row in range(len(values))),
            values=np.array(values, np.float64),
            weights=None,
            clusters=tuple(f"v{fold}-{row}" for row in range(len(values))),
            chance=0.25,
        ),
    )


def scored(*draws: Sequence[float], fold: int = 1, clean: Sequence[float] | None = None) -> Scored:
    return Scored(
        protocol="linear",
        draws=tuple(scores(draw, fold) for draw in draws),
        data=DataFacts(
            name="ucf101",
            digest=f"{fold}",
            num_train=8,
            num_valid=2,
            num_test=2,
            part=f"split {fold}",
        ),
        settings={"seed": 0, "how": f"fold {fold}"},
        notes=("a note",),
        clean=None if clean is None else scores(clean, fold),
    )


def test_one_split() -> None:
    result = split_result("ucf101", ENCODER, scored([1, 1, 1, 0]), confidence=0.95, seed=0)
    (metric,) = result.metrics
    assert (metric.name, metric.value, metric.chance, metric.num_items) == ("top1", 0.75, 0.25, 4)
    assert metric.ci_low < 0.75 < metric.ci_high
    assert result.data.part == "split 1"


def test_disturbed_clips_tell_the_change_from_clean_ones() -> None:
    found = scored([1, 0, 0, 0], clean=[1, 1, 1, 0])
    result = split_result("ucf101", ENCODER, found, confidence=0.95, seed=0)
    assert [(each.name, each.value) for each in result.metrics] == [
        ("top1", 0.25),
        ("top1_change", -0.5),
    ]


def test_draws_of_labels_are_averaged_and_widen_the_interval() -> None:
    same, unlike = (
        split_result("ucf101", ENCODER, scored(*draws), confidence=0.95, seed=0).metrics[0]
        for draws in (([1, 0, 1, 0], [1, 0, 1, 0]), ([1, 1, 1, 0], [0, 0, 1, 0]))
    )
    assert same.value == unlike.value == 0.5
    assert unlike.ci_high - unlike.ci_low > same.ci_high - same.ci_low


def test_draws_of_labels_widen_the_interval_of_the_mean_of_splits_too() -> None:
    same, unlike = (
        mean_result(
            "ucf101",
            ENCODER,
            [scored(*draws, fold=1), scored(*draws, fold=2)],
            confidence=0.95,
            seed=0,
        ).metrics[0]
        for draws in (([1, 0, 1, 0], [1, 0, 1, 0]), ([1, 1, 1, 0], [0, 0, 1, 0]))
    )
    assert same.value == unlike.value == 0.5
    assert unlike.ci_high - unlike.ci_low > same.ci_high - same.ci_low


def test_the_mean_of_splits_and_their_deviation() -> None:
    splits = [
        scored([1, 0], fold=1, clean=[1, 0]),
        scored([1, 1], fold=2, clean=[1, 1]),
        scored([0, 1, 1, 1], fold=3, clean=[1, 1, 1, 1]),
    ]
    result = mean_result("ucf101", ENCODER, splits, confidence=0.95, seed=0)
    values = {each.name: each.value for each in result.metrics}
    assert values["top1"] == pytest.approx((0.5 + 1.0 + 0.75) / 3)
    # ((1/4)^2 + (1/4)^2 + 0) / 2, and its root.
    assert values["top1_sd"] == pytest.approx(0.25)
    assert values["top1_change"] == pytest.approx(-0.25 / 3)
    assert result.data.part == "mean of 3 splits"
    assert (result.data.num_train, result.data.num_test) == (24, 6)
    assert result.metrics[0].num_items == 8
    assert result.settings == {"seed": 0}
    assert result.notes[0].startswith("top1 of the splits: 0.5000, 1.0000, 0.7500; _sd is")
    assert result.notes[1:] == ("a note",)


def table(side: str, seed: int) -> FeatureTable:
    rng = np.random.default_rng(seed)
    return FeatureTable(
        keys=tuple(f"{side}{row}" for row in range(12)),
        features=rng.normal(size=(12, 3)).astype(np.float32),
        labels={"class": tuple("aabbbc" * 2)},
        groups=tuple(f"g{row // 2}" for row in range(12)),
    )


def test_tables_asked_together_score_as_each_asked_alone() -> None:
    train, tests = table("n", 0), [table("q", seed) for seed in (1, 2, 3)]
    config = ProtocolConfig(retrieval_ks=(1, 5))
    together = score_features(train, joined_tables(tests), "class", config=config, seed=0)
    for number, test in enumerate(tests):
        alone = score_features(train, test, "class", config=config, seed=0)
        rows = slice(12 * number, 12 * number + 12)
        for score, own in zip(together, alone, strict=True):
            found = part_of(score, rows, test)
            assert (found.keys, found.clusters) == (own.keys, own.clusters)
            np.testing.assert_array_equal(found.values, own.values)
            assert found.chance == pytest.approx(own.chance)
            if own.weights is not None:
                assert found.weights is not None
                np.testing.assert_allclose(
                    found.weights / found.weights.sum(), own.weights / own.weights.sum()
                )
