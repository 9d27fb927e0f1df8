"""Proves the whole: good features beat noise with an interval that excludes zero, equal encoders
differ by nothing, test labels choose nothing, and unequal inputs are refused.
"""

import dataclasses

import numpy as np
import numpy.typing as npt
import pytest

from avrep.errors import ConfigError
from avrep.evaluation.compare import SplitFeatures, compare_scores, evaluate_features
from avrep.evaluation.features_table import FeatureTable
from avrep.evaluation.protocols import ProtocolConfig, score_features
from avrep.evaluation.results import EvalRow

CONFIG = ProtocolConfig(
    protocols=("linear", "knn", "retrieval", "instance"), num_resamples=300, instance_ks=(1, 5)
)


def table(
    side: str, num: int, seed: int, signal: float, groups: tuple[str, ...] | None = None
) -> FeatureTable:
    """Four classes, three clips of each video: class centre, the video's own point, clip noise."""
    centres = np.random.default_rng(5).normal(size=(4, 1, 12))
    rng = np.random.default_rng(seed)
    own = rng.normal(size=(num, 1, 12))
    clips = rng.normal(size=(num, 3, 12))
    features = signal * (3 * centres[np.arange(num) % 4] + own) + 0.3 * clips
    return FeatureTable(
        keys=tuple(f"{side}{row}" for row in range(num)),
        features=features.astype(np.float32),
        labels={"motion": tuple(f"way {row % 4}" for row in range(num))},
        groups=groups,
    )


def split(seed: int, signal: float, num_test: int = 40) -> SplitFeatures:
    return SplitFeatures(
        train=table("train", 80, seed, signal), test=table("test", num_test, seed + 1, signal)
    )


def by_place(rows: tuple[EvalRow, ...]) -> dict[tuple[str, str, str], EvalRow]:
    return {(row.protocol, row.metric, row.encoder): row for row in rows}


def test_good_features_beat_noise() -> None:
    rows = evaluate_features(
        split(0, 1.0), split(10, 0.0), label="motion", task="catalog", config=CONFIG, seed=3
    )
    found = by_place(rows)
    metrics = [
        *(
            (protocol, metric)
            for protocol in ("linear", "knn")
            for metric in ("top1", "mean_class")
        ),
        *(("retrieval", f"R@{k}") for k in (1, 5, 10, 20, 50)),
        *(("instance", metric) for metric in ("R@1", "R@5", "MRR")),
    ]
    assert len(rows) == 3 * len(metrics)
    for protocol, metric in metrics:
        good, noise, gain = (
            found[protocol, metric, encoder]
            for encoder in ("pretrained", "untrained", "difference")
        )
        assert gain.value == pytest.approx(good.value - noise.value)
        assert good.num_test == 40
        # Four standard errors of a binomial of 40 trials.
        slack = 4 * np.sqrt(max(noise.chance * (1 - noise.chance), 0.02) / 40)
        assert abs(noise.value - noise.chance) < slack
        assert good.chance == noise.chance
        assert gain.chance == 0
        if metric not in ("R@10", "R@20", "R@50"):
            assert good.value > 0.9
            assert gain.ci_low > 0
    assert found["instance", "R@1", "pretrained"].label == "item"
    assert found["instance", "R@1", "pretrained"].chance == 1 / 40
    assert found["retrieval", "R@1", "pretrained"].chance == pytest.approx(0.25)
    assert {row.seed for row in rows} == {3}
    assert {row.fold for row in rows} == {None}


def test_the_same_encoder_differs_by_nothing() -> None:
    once = split(0, 0.15)
    rows = evaluate_features(once, once, label="motion", task="catalog", config=CONFIG)
    for row in rows:
        if row.encoder == "difference":
            assert row.value == 0
            assert row.ci_low < 0 < row.ci_high
            assert row.interval == "newcombe"


def test_the_same_call_gives_the_same_rows() -> None:
    calls = [
        evaluate_features(
            split(0, 0.15),
            split(9, 0.1),
            label="motion",
            task="catalog",
            config=CONFIG,
            seed=seed,
        )
        for seed in (0, 0, 1)
    ]
    assert calls[0] == calls[1]
    assert calls[0] != calls[2]


def test_permuted_test_labels_leave_every_choice_alone() -> None:
    tables = split(0, 0.1)
    labels = tables.test.labels["motion"]
    permuted = dataclasses.replace(tables.test, labels={"motion": (*labels[1:], labels[0])})
    true = score_features(tables.train, tables.test, "motion", config=CONFIG, seed=0)
    false = score_features(tables.train, permuted, "motion", config=CONFIG, seed=0)
    assert [scores.note for scores in true] == [scores.note for scores in false]
    assert "chosen on" in true[0].note
    assert (true[0].values != false[0].values).any()


def test_accuracy_over_videos_and_over_classes() -> None:
    # 9 test videos of way 0, 3 of way 1; features say "way 0" always.
    def plain(side: str, ways: str) -> FeatureTable:
        features = np.array([[1.0, 0.1 * row] for row in range(len(ways))], np.float32)
        return FeatureTable(
            keys=tuple(f"{side}{row}" for row in range(len(ways))),
            features=features,
            labels={"motion": tuple(f"way {way}" for way in ways)},
        )

    config = ProtocolConfig(protocols=("knn",))
    scores = score_features(
        plain("train", "00000001"), plain("test", "000000000111"), "motion", config=config, seed=0
    )
    over_videos, over_classes = scores
    assert over_videos.values.mean() == 0.75
    assert over_videos.chance == 0.75
    assert np.average(over_classes.values, weights=over_classes.weights) == pytest.approx(0.5)
    assert over_classes.chance == 0.5


def test_a_small_gallery_leaves_deep_ranks_out_and_says_so() -> None:
    tables = SplitFeatures(train=table("train", 16, 0, 1.0), test=table("test", 12, 1, 1.0))
    config = ProtocolConfig(protocols=("retrieval",))
    scores = score_features(tables.train, tables.test, "motion", config=config, seed=0)
    assert [one.metric for one in scores] == ["R@1", "R@5", "R@10"]
    assert scores[0].note == "gallery of 16, too small for R@20, R@50"
    deep = ProtocolConfig(protocols=("retrieval",), retrieval_ks=(50,))
    with pytest.raises(ConfigError, match="deeper than the 16 videos"):
        score_features(tables.train, tables.test, "motion", config=deep, seed=0)


def test_groups_reach_the_intervals() -> None:
    groups = tuple(f"g{row // 4:02d}" for row in range(40))
    test = table("test", 40, 1, 0.1)
    both = {**test.labels, "class": tuple("ab"[row % 2] for row in range(40))}
    test = dataclasses.replace(test, groups=groups, labels=both)
    config = ProtocolConfig(protocols=("knn",), num_resamples=300)
    for scope, clusters in (("class", 20), ("corpus", 10)):
        grouped = dataclasses.replace(test, group_scope=scope)
        tables = SplitFeatures(train=table("train", 80, 0, 0.1), test=grouped)
        rows = evaluate_features(tables, tables, label="motion", task="lists", config=config)
        assert {row.num_clusters for row in rows} == {clusters}


def test_groups_reach_the_probe() -> None:
    # Ten groups of eight train videos: a fifth held out by whole groups is two of them.
    groups = tuple(f"g{row // 8:02d}" for row in range(80))
    train = dataclasses.replace(table("train", 80, 0, 0.5), groups=groups)
    config = ProtocolConfig(protocols=("linear",))
    test = table("test", 40, 1, 0.5)
    scores = score_features(train, test, "motion", config=config, seed=0)
    assert scores[0].note.endswith("chosen on 16 train videos of 2 groups")


def test_folds_and_seeds_over_runs() -> None:
    config = ProtocolConfig(protocols=("knn", "retrieval"), retrieval_ks=(1,), num_resamples=300)
    runs = {
        signal: [
            score_features(tables.train, tables.test, "motion", config=config, seed=0)
            for tables in (split(seed, signal) for seed in (0, 20, 40))
        ]
        for signal in (0.2, 0.05)
    }
    singles = [
        by_place(compare_scores([good], [poor], task="ucf101", config=config, fold=fold))
        for fold, (good, poor) in enumerate(zip(runs[0.2], runs[0.05], strict=True), start=1)
    ]
    for over in ("mean of folds", "mean of seeds"):
        rows = compare_scores(runs[0.2], runs[0.05], task="ucf101", config=config, over=over)
        assert {row.over for row in rows} == {over}
        for place, row in by_place(rows).items():
            assert row.value == pytest.approx(np.mean([single[place].value for single in singles]))
            assert row.fold is None
    # Only two of three runs have R@1: the row over all three is left out.
    fewer = [*runs[0.2][:2], runs[0.2][2][:2]]
    rows = compare_scores(fewer, runs[0.05], task="ucf101", config=config, over="mean of folds")
    assert {row.protocol for row in rows} == {"knn"}
    with pytest.raises(ConfigError, match="3 pretrained runs, 2 untrained"):
        compare_scores(runs[0.2], runs[0.05][:2], task="ucf101", config=config)


def test_inputs_that_do_not_fit_are_refused() -> None:
    good = split(0, 1.0)

    def evaluate(pretrained: SplitFeatures, untrained: SplitFeatures) -> None:
        evaluate_features(pretrained, untrained, label="motion", task="catalog", config=CONFIG)

    shuffled = dataclasses.replace(good.test, keys=good.test.keys[::-1])
    with pytest.raises(ConfigError, match="same videos, in the same order"):
        evaluate(good, SplitFeatures(train=good.train, test=shuffled))
    leaking = SplitFeatures(
        train=good.train, test=dataclasses.replace(good.test, keys=good.train.keys[:40])
    )
    with pytest.raises(ConfigError, match="40 videos are in train and in test, 'train0'"):
        evaluate(leaking, leaking)
    strange = dataclasses.replace(good.test, labels={"motion": ("way 9",) * 40})
    with pytest.raises(ConfigError, match="1 test classes have no train video, 'way 9'"):
        evaluate(*[SplitFeatures(train=good.train, test=strange)] * 2)
    narrow: npt.NDArray[np.float32] = good.test.features[..., :5]
    thin = SplitFeatures(train=good.train, test=dataclasses.replace(good.test, features=narrow))
    with pytest.raises(ConfigError, match="width 12, test features 5"):
        evaluate(thin, thin)
    with pytest.raises(ConfigError, match=r"no label set 'class'\. Known: motion"):
        score_features(good.train, good.test, "class", config=CONFIG, seed=0)
