"""k-means finds groups that are plain to see, the same ones each time."""

import numpy as np
import pytest

from avrep.errors import ConfigError
from avrep.training.clusters import fit_clusters, nearest_clusters, perplexity


def _blobs() -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    centres = 10 * generator.normal(size=(5, 3))
    group = generator.integers(5, size=600)
    frames = centres[group] + 0.1 * generator.normal(size=(600, 3))
    return frames.astype(np.float32), group


def test_it_finds_the_groups_that_there_are() -> None:
    frames, group = _blobs()
    centroids = fit_clusters(frames, 5, seed=0)
    assert centroids.dtype == np.float32
    labels = nearest_clusters(frames, centroids)
    assert labels.dtype == np.uint16
    assert len({(int(a), int(b)) for a, b in zip(labels, group, strict=True)}) == 5
    for label in range(5):
        mean = frames[labels == label].mean(axis=0)
        assert np.allclose(centroids[label], mean, atol=0.05)


def test_the_seed_decides_and_nothing_else() -> None:
    frames = np.random.default_rng(1).normal(size=(500, 4)).astype(np.float32)
    first = fit_clusters(frames, 8, seed=3)
    np.random.default_rng(9).normal(size=3)
    assert np.array_equal(fit_clusters(frames, 8, seed=3), first)
    assert not np.array_equal(fit_clusters(frames, 8, seed=4), first)


def test_the_nearest_is_that_of_a_plain_search_over_several_pieces() -> None:
    generator = np.random.default_rng(2)
    frames = (1000 + generator.normal(size=(17000, 2))).astype(np.float32)
    centroids = (1000 + generator.normal(size=(7, 2))).astype(np.float32)
    exact = [
        ((frame.astype(np.float64) - centroids) ** 2).sum(axis=1).argmin()
        for frame in frames[::100]
    ]
    assert nearest_clusters(frames, centroids)[::100].tolist() == exact
    twins = np.array([[1.0, 0.0], [-1.0, 0.0], [1.0, 0.0]], np.float32)
    found = nearest_clusters(np.array([[0.0, 1.0], [0.5, 0.0]], np.float32), twins)
    assert found.tolist() == [0, 0]


def test_perplexity_at_known_values() -> None:
    assert perplexity(np.array([0, 12, 0])) == pytest.approx(1)
    assert perplexity(np.array([5, 5, 5, 5])) == pytest.approx(4)
    # Shares 1/2, 1/4, 1/4: 1.5 bits.
    assert perplexity(np.array([4, 2, 2])) == pytest.approx(2**1.5)
    assert perplexity(np.zeros(3, np.int64)) == 0


def test_fewer_frames_than_clusters_are_refused() -> None:
    with pytest.raises(ConfigError, match="3 frames cannot make 4 clusters; ask for fewer"):
        fit_clusters(np.zeros((3, 2), np.float32), 4, seed=0)
