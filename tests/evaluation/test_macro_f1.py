"""Proves macro-F1 against scikit-learn, and its interval by what it must do."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score

from avrep.evaluation.macro_f1 import Answers, macro_f1

_LABEL = st.sampled_from("abcd")


def _answers(labels: list[str], predicted: list[str], num_clusters: int = 1000) -> Answers:
    return Answers(
        labels=tuple(labels),
        predicted=tuple(predicted),
        clusters=tuple(f"c{number % num_clusters}" for number in range(len(labels))),
    )


@settings(max_examples=40)
@given(pairs=st.lists(st.tuples(_LABEL, _LABEL), min_size=1, max_size=40))
def test_it_is_scikit_learn_s(pairs: list[tuple[str, str]]) -> None:
    labels, predicted = ([*each] for each in zip(*pairs, strict=True))
    found = macro_f1([_answers(labels, predicted)], seed=0, num_resamples=3)
    assert found.value == pytest.approx(f1_score(labels, predicted, average="macro"))
    assert 0 <= found.low <= found.value <= found.high <= 1


def test_folds_are_averaged_and_clusters_drawn_whole() -> None:
    draws = np.random.default_rng(0)
    labels = [str(number) for number in draws.integers(0, 3, 300)]
    predicted = [name if draws.random() < 0.7 else "0" for name in labels]
    half = [_answers(labels[:150], predicted[:150]), _answers(labels[150:], predicted[150:])]
    found = macro_f1(half, seed=0)
    assert found.value == pytest.approx(
        np.mean([f1_score(each.labels, each.predicted, average="macro") for each in half])
    )
    assert macro_f1(half, seed=0) == found
    assert (found.num_clusters, found.method) == (150, "bootstrap")
    # Fewer independent things tell less.
    few = macro_f1([_answers(labels, predicted, 5)], seed=0)
    assert (few.num_clusters, few.method) == (5, "wilson")
    assert few.high - few.low > 2 * (found.high - found.low)


def test_a_perfect_score_is_not_certain() -> None:
    found = macro_f1([_answers(["a", "b"] * 10, ["a", "b"] * 10)], seed=0, num_resamples=50)
    assert (found.value, found.high, found.method) == (1, 1, "wilson")
    assert found.low < 0.9
