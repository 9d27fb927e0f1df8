"""Proves the weighted vote against a slow restatement of it, scikit-learn's, a hand-worked case,
and chance.
"""

import math
from collections import defaultdict

import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier

from avrep.evaluation.knn import KnnConfig, knn_predict


def random_set(seed: int, num_train: int = 60, num_test: int = 80, width: int = 6):
    rng = np.random.default_rng(seed)
    train = rng.normal(size=(num_train, width)).astype(np.float32)
    test = rng.normal(size=(num_test, width)).astype(np.float32)
    return train, rng.choice(["a", "b", "c"], num_train).tolist(), test


@pytest.mark.parametrize(("k", "temperature"), [(1, 0.07), (5, 0.07), (20, 0.5), (500, 0.07)])
def test_against_a_slow_restatement(k: int, temperature: float) -> None:
    train, labels, test = random_set(k)
    expected = []
    for query in test:
        cosines = [
            float(query @ row) / math.sqrt(float(query @ query) * float(row @ row)) for row in train
        ]
        votes: defaultdict[str, float] = defaultdict(float)
        for row in sorted(range(len(train)), key=lambda row: -cosines[row])[:k]:
            votes[labels[row]] += math.exp(cosines[row] / temperature)
        expected.append(max(sorted(votes), key=lambda name: votes[name]))
    found = knn_predict(train, labels, test, KnnConfig(k=k, temperature=temperature))
    assert found.tolist() == expected


def test_against_scikit_learn() -> None:
    train, labels, test = random_set(3)
    model = KNeighborsClassifier(20, metric="cosine", algorithm="brute")
    model.set_params(weights=lambda distances: np.exp((1 - distances) / 0.07))
    expected = model.fit(train, labels).predict(test)
    assert knn_predict(train, labels, test, KnnConfig()).tolist() == expected.tolist()


def test_weights_decide_by_hand() -> None:
    # One neighbour at cosine 1 (weight e^(1/T)), two at cosine 0 (weight 1 each): e^(1/T) < 2
    # once T is over 1 / ln 2 = 1.4427.
    train = np.array([[1, 0], [0, 1], [0, -1]], np.float32)
    query = np.array([[2, 0]], np.float32)
    near = KnnConfig(k=3, temperature=1.44)
    far = KnnConfig(k=3, temperature=1.45)
    assert knn_predict(train, ["x", "y", "y"], query, near).tolist() == ["x"]
    assert knn_predict(train, ["x", "y", "y"], query, far).tolist() == ["y"]


def test_a_tiny_temperature_does_not_overflow() -> None:
    train, labels, test = random_set(5)
    one = knn_predict(train, labels, test, KnnConfig(k=1))
    cold = knn_predict(train, labels, test, KnnConfig(k=20, temperature=1e-6))
    assert (one == cold).all()


def test_scale_does_not_matter() -> None:
    train, labels, test = random_set(6)
    scales = np.random.default_rng(0).uniform(0.01, 100, (len(train), 1)).astype(np.float32)
    plain = knn_predict(train, labels, test, KnnConfig())
    assert (knn_predict(train * scales, labels, test * 7, KnnConfig()) == plain).all()


def test_random_features_score_chance() -> None:
    rng = np.random.default_rng(0)
    labels = [str(row % 5) for row in range(500)]
    found = knn_predict(
        rng.normal(size=(500, 16)).astype(np.float32),
        labels,
        rng.normal(size=(1000, 16)).astype(np.float32),
        KnnConfig(),
    )
    right = np.mean(found == np.array([str(row % 5) for row in range(1000)]))
    # Four standard errors of a binomial of 1000 trials at 1/5.
    assert abs(right - 0.2) < 4 * math.sqrt(0.2 * 0.8 / 1000)
