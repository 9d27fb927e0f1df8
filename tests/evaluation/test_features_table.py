"""Proves that a table checks itself, averages clips plainly, and names its clusters by scope."""

import dataclasses

import numpy as np
import pytest

from avrep.errors import ConfigError
from avrep.evaluation.features_table import FeatureTable
from avrep.evaluation.neighbours import l2_normalise, nearest


def test_a_video_is_the_plain_mean_of_its_clips() -> None:
    features = np.array([[[1, 0], [0, 3]], [[2, 2], [4, 4]]], np.float32)
    table = FeatureTable(keys=("x", "y"), features=features)
    assert table.vectors().tolist() == [[0.5, 1.5], [3, 3]]
    assert table.vectors().dtype == np.float32
    flat = FeatureTable(keys=("x", "y"), features=features[:, 0])
    assert flat.vectors() is flat.features


def test_clusters() -> None:
    table = FeatureTable(
        keys=("x", "y", "z"),
        features=np.zeros((3, 2), np.float32),
        labels={"class": ("run", "sit", "sit")},
        groups=("g01", "g01", None),
    )
    assert table.clusters() == ("group run/g01", "group sit/g01", "video z")
    unlabelled = dataclasses.replace(table, labels={"motion": ("a", "b", "c")})
    assert unlabelled.clusters() == ("group /g01", "group /g01", "video z")
    people = dataclasses.replace(table, group_scope="corpus")
    assert people.clusters() == ("group /g01", "group /g01", "video z")
    alone = FeatureTable(keys=table.keys, features=table.features)
    assert alone.clusters() == ("x", "y", "z")
    with pytest.raises(ConfigError, match=r"no label set 'motion'\. Known: class"):
        table.label_set("motion")


def test_wrong_tables_are_refused() -> None:
    good = np.zeros((2, 3), np.float32)
    with pytest.raises(ValueError, match=r"float64\[2, 3\]"):
        FeatureTable(keys=("x", "y"), features=good.astype(np.float64))  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="unique"):
        FeatureTable(keys=("x", "x"), features=good)
    with pytest.raises(ValueError, match="'class': 1"):
        FeatureTable(keys=("x", "y"), features=good, labels={"class": ("a",)})
    with pytest.raises(ValueError, match="want 1 or more"):
        FeatureTable(keys=(), features=good[:0])
    spoilt = good.copy()
    spoilt[1, 2] = np.nan
    with pytest.raises(ConfigError, match=r"1 of 2 videos .* not finite, 'y'"):
        FeatureTable(keys=("x", "y"), features=spoilt)


def test_normalising_keeps_zeros_and_survives_extremes() -> None:
    rows = np.array([[3, 4], [0, 0], [1e-30, 0], [3e30, 4e30]], np.float32)
    expected = [[0.6, 0.8], [0, 0], [1, 0], [0.6, 0.8]]
    np.testing.assert_allclose(l2_normalise(rows), expected, rtol=1e-6)


def test_nearest_against_a_slow_loop() -> None:
    rng = np.random.default_rng(0)
    queries = rng.normal(size=(600, 5)).astype(np.float32)
    gallery = rng.normal(size=(40, 5)).astype(np.float32) * rng.uniform(0.1, 9, (40, 1)).astype("f")
    rows, cosines = nearest(queries, gallery, 7)
    for query, found, cosine in zip(queries[::37], rows[::37], cosines[::37], strict=True):
        slow = [
            float(query @ other) / float(np.linalg.norm(query) * np.linalg.norm(other))
            for other in gallery
        ]
        assert found.tolist() == sorted(range(40), key=lambda row: -slow[row])[:7]
        np.testing.assert_allclose(cosine, [slow[row] for row in found], rtol=1e-5)


def test_nearest_with_ties_is_the_stable_order() -> None:
    # Few directions, so that ties fall at every depth.
    rng = np.random.default_rng(1)
    directions = np.array([[1, 0], [0, 1], [-1, 0], [0.6, 0.8]], np.float32)
    queries, gallery = directions[rng.integers(0, 4, 30)], directions[rng.integers(0, 4, 50)]
    for k in (1, 2, 7, 20, 49, 50):
        rows, _ = nearest(queries, gallery, k)
        stable = np.argsort(-(queries @ gallery.T), axis=1, kind="stable")
        assert (rows == stable[:, :k]).all()


def test_of_equally_near_rows_the_earlier_comes_first() -> None:
    rows, _ = nearest(np.zeros((2, 3), np.float32), np.ones((5, 3), np.float32), 3)
    assert rows.tolist() == [[0, 1, 2], [0, 1, 2]]
    with pytest.raises(ValueError, match=r"\[1, 5\]"):
        nearest(np.zeros((2, 3), np.float32), np.ones((5, 3), np.float32), 6)
