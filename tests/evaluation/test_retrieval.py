"""Proves R@k and instance ranks against slow loops, chance levels against formulas and simulation,
and that a collapsed encoder scores chance.
"""

import math
from itertools import permutations

import numpy as np
import pytest

from avrep.errors import ConfigError
from avrep.evaluation.retrieval import (
    class_retrieval,
    class_retrieval_chance,
    instance_retrieval,
)

KS = (1, 5, 10, 20, 50)


def balanced(num: int, classes: int) -> list[str]:
    return [f"class {row % classes}" for row in range(num)]


def test_identical_features_are_found_first() -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(101, 32)).astype(np.float32)
    labels = balanced(101, 101)
    hits = class_retrieval(features * 3, labels, features[::-1], labels[::-1], KS)
    assert all(hits[k].mean() == 1 for k in KS)


def test_random_features_score_chance_at_every_depth() -> None:
    rng = np.random.default_rng(1)
    queries, gallery = balanced(2000, 10), balanced(1000, 10)
    hits = class_retrieval(
        rng.normal(size=(2000, 24)).astype(np.float32),
        queries,
        rng.normal(size=(1000, 24)).astype(np.float32),
        gallery,
        KS,
    )
    for k in KS:
        # 10 balanced classes: a draw misses with about 9/10, so the best of k with (9/10)^k.
        chance = class_retrieval_chance(queries, gallery, k)
        assert chance == pytest.approx(1 - 0.9**k, abs=0.01)
        margin = 4 * math.sqrt(max(chance * (1 - chance), 0.005) / 2000)
        assert abs(hits[k].mean() - chance) < margin
    assert class_retrieval_chance(queries, gallery, 1) == pytest.approx(0.1)


def test_against_a_slow_loop() -> None:
    rng = np.random.default_rng(2)
    queries = rng.normal(size=(70, 4)).astype(np.float32)
    gallery = rng.normal(size=(60, 4)).astype(np.float32)
    query_labels = rng.choice(["a", "b", "c", "d", "e"], 70).tolist()
    gallery_labels = rng.choice(["a", "b", "c", "d", "f"], 60).tolist()
    for centre in (False, True):
        found = class_retrieval(queries, query_labels, gallery, gallery_labels, KS, centre=centre)
        mean = [sum(float(row[d]) for row in gallery) / 60 if centre else 0.0 for d in range(4)]
        for number, query in enumerate(queries):
            one = [float(value) - m for value, m in zip(query, mean, strict=True)]
            cosines = []
            for row in gallery:
                other = [float(value) - m for value, m in zip(row, mean, strict=True)]
                dot = sum(a * b for a, b in zip(one, other, strict=True))
                cosines.append(dot / math.hypot(*one) / math.hypot(*other))
            order = sorted(range(60), key=lambda row: -cosines[row])
            for k in KS:
                hit = any(gallery_labels[row] == query_labels[number] for row in order[:k])
                assert found[k][number] == hit


def test_centring_uses_the_gallery_alone() -> None:
    rng = np.random.default_rng(3)
    queries = rng.normal(size=(30, 4)).astype(np.float32) + 2
    gallery = rng.normal(size=(20, 4)).astype(np.float32) + 2
    labels, gallery_labels = balanced(30, 3), balanced(20, 3)
    together = class_retrieval(queries, labels, gallery, gallery_labels, (1, 3), centre=True)
    alone = [
        class_retrieval(queries[[row]], [labels[row]], gallery, gallery_labels, (1,), centre=True)
        for row in range(30)
    ]
    assert [float(hit[1][0]) for hit in alone] == together[1].tolist()
    plain = class_retrieval(queries, labels, gallery, gallery_labels, (1,))
    assert (plain[1] != together[1]).any()


def test_chance_against_every_order() -> None:
    gallery = ["a", "a", "b", "b", "b", "c"]
    queries = ["a", "c", "d"]
    orders = list(permutations(gallery))
    for k in range(1, 7):
        expected = np.mean([[query in order[:k] for query in queries] for order in orders])
        assert class_retrieval_chance(queries, gallery, k) == pytest.approx(expected)


def test_a_depth_beyond_the_gallery_is_refused() -> None:
    features = np.ones((20, 3), np.float32)
    with pytest.raises(ConfigError, match="R@50 needs 50 train videos, there are 20"):
        class_retrieval(features, balanced(20, 2), features, balanced(20, 2), KS)


def test_instances_by_hand() -> None:
    # Gallery at 0, 90 and 180 degrees; the queries' own clips are 1st, 2nd and 3rd nearest.
    gallery = np.array([[1, 0], [0, 1], [-1, 0]], np.float32)
    queries = np.array([[5, 1], [4, 3], [2, 1]], np.float32)
    hits = instance_retrieval(np.stack([gallery, queries], axis=1), (1, 2, 3))
    assert hits["R@1"].tolist() == [1, 0, 0]
    assert hits["R@2"].tolist() == [1, 1, 0]
    assert hits["R@3"].tolist() == [1, 1, 1]
    np.testing.assert_allclose(hits["MRR"], [1, 1 / 2, 1 / 3])


def test_instances_against_a_slow_loop() -> None:
    rng = np.random.default_rng(4)
    first = rng.normal(size=(40, 5))
    features = np.stack([first, rng.normal(size=(40, 5)), first + rng.normal(size=(40, 5))], 1)
    hits = instance_retrieval(features.astype(np.float32), (1, 5))
    for row in range(40):
        query = features[row, 2]
        cosines = [query @ other / np.linalg.norm(other) for other in features[:, 0]]
        rank = 1 + sum(cosine > cosines[row] for cosine in cosines)
        assert hits["MRR"][row] == pytest.approx(1 / rank)
        assert hits["R@1"][row] == (rank <= 1)
        assert hits["R@5"][row] == (rank <= 5)
    assert 0.05 < hits["R@1"].mean() < 0.95


def test_a_collapsed_encoder_scores_chance() -> None:
    for features in (np.zeros((8, 2, 4), np.float32), np.ones((8, 2, 4), np.float32)):
        hits = instance_retrieval(features, (1, 5))
        assert hits["R@1"].mean() == pytest.approx(1 / 8)
        assert hits["R@5"].mean() == pytest.approx(5 / 8)
        assert hits["MRR"].mean() == pytest.approx(np.mean(1 / np.arange(1, 9)))
    labels = balanced(40, 4)
    flat = np.zeros((40, 4), np.float32)
    assert class_retrieval(flat, labels, flat, labels, (1,))[1].mean() == 0.25


def test_a_tie_scores_its_mean_over_orders() -> None:
    # Row 0's clip ties with row 1's for the first place: half a hit, mean of 1 and 1/2.
    gallery = np.array([[1, 0], [1, 0], [-1, 0]], np.float32)
    queries = np.array([[1, 0], [0, 1], [-1, 0]], np.float32)
    hits = instance_retrieval(np.stack([gallery, queries], axis=1), (1, 2))
    assert hits["R@1"].tolist() == [0.5, pytest.approx(1 / 3), 1]
    assert hits["R@2"].tolist() == [1, pytest.approx(2 / 3), 1]
    np.testing.assert_allclose(hits["MRR"], [0.75, 11 / 18, 1])


def test_one_clip_a_video_is_refused() -> None:
    for shape in ((4, 3), (4, 1, 3)):
        with pytest.raises(ConfigError, match="2 clips or more"):
            instance_retrieval(np.zeros(shape, np.float32), (1,))
