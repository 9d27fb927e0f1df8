"""Probabilities of classes to scores and metrics, on a table worked by hand."""

import numpy as np
import pytest

from avrep.evaluation.action.predictions import ActionPredictions
from avrep.evaluation.features_table import FeatureTable
from avrep.types import Address, Failure

CLASSES = ("a", "b", "c", "d", "e", "f")
# The fourth is right at the second place, the last is sixth.
TRUTH = ("a", "a", "b", "c", "f")
RANKS = ("abcdef", "abcdef", "bacdef", "acbdef", "abcdef")


def make(classes: int = 6, failures: tuple[Failure, ...] = ()) -> ActionPredictions:
    probabilities = np.array(
        [[0.5 ** ranks.index(name) for name in CLASSES[:classes]] for ranks in RANKS], np.float32
    )
    videos = FeatureTable(
        keys=tuple("vwxyz"),
        features=probabilities,
        labels={"class": TRUTH},
        groups=("g1", "g1", "g1", "g2", None),
    )
    return ActionPredictions(
        protocol="finetune",
        label="class",
        class_names=CLASSES[:classes],
        videos=videos,
        train_labels=("a", "a", "a", "b", "b", "c", "d", "e", "f", "f", "f", "f"),
        num_valid=2,
        failures=failures,
        settings={},
    )


def test_scores_by_hand() -> None:
    top1, mean_class, top5 = make().scores()
    assert top1.values.tolist() == mean_class.values.tolist() == [1, 1, 1, 0, 0]
    assert top5.values.tolist() == [1, 1, 1, 1, 0]
    # Train's commonest is f, which one video of five shows.
    assert top1.chance == pytest.approx(0.2)
    assert mean_class.weights is not None
    assert np.average(mean_class.values, weights=mean_class.weights) == pytest.approx(2 / 4)
    # f, a and b, which four videos of five show, and two of c, d and e, which train shows once each:
    # two thirds of what shows any of them, one video of five.
    assert top5.chance == pytest.approx(4 / 5 + 2 / 3 * 1 / 5)
    assert top1.clusters == ("group a/g1", "group a/g1", "group b/g1", "group c/g2", "video z")
    assert len(make(classes=5).scores()) == 2


def test_what_could_not_be_decoded_is_told() -> None:
    failure = Failure(address=Address(0, 9), key="k.avi", stage="open", reason="no streams")
    (note,) = {score.note for score in make(failures=(failure,)).scores()}
    assert note == "1 items could not be decoded, k.avi (no streams)"
