"""Proves what chance is by hand, of classes that are equally common too."""

import numpy as np
import pytest

from avrep.evaluation.accuracy import accuracies, top_few
from avrep.evaluation.features_table import FeatureTable


def _chances(train: str, test: str) -> tuple[float, float]:
    """Of top-1 and top-5."""
    table = FeatureTable(
        keys=tuple(f"v{row}" for row in range(len(test))),
        features=np.zeros((len(test), 1), np.float32),
        labels={"class": tuple(test)},
    )
    ranked = np.array([list("abcde")] * len(test))
    first = accuracies("knn", tuple(train), table, "class", ranked[:, 0], "")[0]
    return first.chance, top_few("knn", tuple(train), table, "class", ranked, "").chance


def test_chance_is_the_commonest_class_of_train() -> None:
    assert _chances("abb" + "cdefg", "aaab") == (0.25, pytest.approx(0.25 + 4 / 6 * 0.75))


def test_of_equally_common_classes_chance_is_the_mean() -> None:
    """Few labels of each class: which class is named first is no reason to guess it."""
    even = "abcdefgh"
    assert _chances(even, "aaaaaaab") == (pytest.approx(1 / 8), pytest.approx(5 / 8))
    assert _chances(even, "hhhhhhhg") == (pytest.approx(1 / 8), pytest.approx(5 / 8))
    # A class that train does not have is never guessed.
    assert _chances(even, "hhzz") == (pytest.approx(1 / 16), pytest.approx(5 / 16))


def test_chance_of_fewer_classes_than_are_guessed() -> None:
    assert _chances("aab", "aabz") == (0.5, 0.75)
