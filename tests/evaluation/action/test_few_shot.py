"""Proves which few labels are drawn, and that the scores are those of probes fitted on them alone."""

import numpy as np
import pytest

from avrep.evaluation.action.few_shot import FewShotConfig, draw_few, score_few_shot
from avrep.evaluation.features_table import FeatureTable

LABELS = [name for name, count in (("Run", 12), ("Sit", 7), ("Clap", 3)) for _ in range(count)]


@pytest.mark.parametrize("num_labels", [1, 5])
def test_as_many_of_each_class_or_all_that_there_are(num_labels: int) -> None:
    rows = draw_few(LABELS, num_labels, 0, 0)
    drawn = [LABELS[row] for row in rows]
    assert {name: drawn.count(name) for name in set(drawn)} == {
        "Run": num_labels,
        "Sit": num_labels,
        "Clap": min(num_labels, 3),
    }
    assert sorted(set(rows.tolist())) == rows.tolist()


def test_fewer_labels_are_among_more_and_draws_differ() -> None:
    for draw in range(3):
        nested = [set(draw_few(LABELS, count, 7, draw).tolist()) for count in (1, 5, 10)]
        assert nested[0] < nested[1] < nested[2]
    draws = {tuple(draw_few(LABELS, 5, 7, draw).tolist()) for draw in range(10)}
    assert len(draws) == 10
    assert draw_few(LABELS, 5, 8, 0).tolist() != draw_few(LABELS, 5, 7, 0).tolist()


def table(keys: list[str], features: np.ndarray, labels: list[str]) -> FeatureTable:
    return FeatureTable(
        keys=tuple(keys), features=features.astype(np.float32), labels={"class": tuple(labels)}
    )


def test_what_separates_classes_is_learnt_from_one_label_and_noise_is_not() -> None:
    rng = np.random.default_rng(0)
    centres = {"Run": (5, 0), "Sit": (-5, 0), "Clap": (0, 5)}
    good = np.array([centres[name] for name in LABELS]) + rng.normal(0, 0.1, (22, 2))
    train = table([f"n{row}" for row in range(22)], good, LABELS)
    test = table([f"q{row}" for row in range(22)], good, LABELS)
    config = FewShotConfig(num_labels=(1,), num_draws=4)
    draws = score_few_shot(train, test, "class", 1, config=config, seed=0)
    assert len(draws) == 4
    for scores in draws:
        assert [score.metric for score in scores] == ["top1", "mean_class"]
        assert scores[0].values.mean() == 1.0
    noise = table([f"q{row}" for row in range(22)], rng.normal(size=(22, 2)), LABELS)
    means = [
        scores[0].values.mean()
        for scores in score_few_shot(train, noise, "class", 1, config=config, seed=0)
    ]
    assert max(means) < 0.8
