"""k-means over frames, and what the clusters look like."""

from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
from sklearn.cluster import MiniBatchKMeans
from threadpoolctl import threadpool_limits

from avrep.errors import ConfigError

Frames = Annotated[npt.NDArray[np.float32], "n d"]
Centroids = Annotated[npt.NDArray[np.float32], "C d"]

_PIECE_FRAMES = 1 << 14
_KMEANS: dict[str, Any] = {
    "init": "k-means++",
    "n_init": 20,
    "max_iter": 100,
    "batch_size": 10_000,
    "tol": 0.0,
    "max_no_improvement": 100,
    "reassignment_ratio": 0.0,
}


def fit_clusters(frames: Frames, num_clusters: int, seed: int) -> Centroids:
    """Mini-batch k-means as HuBERT's released code runs it (examples/hubert/simple_kmeans).

    scikit-learn's, k-means++ with the best of 20 starts, 10,000 frames a batch, at most 100 passes,
    ended by 100 batches that bring nothing; clusters are never moved to where there is more. On one
    thread, so that the same frames and seed give the same clusters.

    Raises:
        ConfigError: there are fewer frames than clusters.
    """
    if len(frames) < num_clusters:
        raise ConfigError(
            f"{len(frames)} frames cannot make {num_clusters} clusters; ask for fewer, or give "
            "more sound"
        )
    means = MiniBatchKMeans(num_clusters, random_state=seed, **_KMEANS)
    with threadpool_limits(1):
        means.fit(frames)
    return np.asarray(means.cluster_centers_, np.float32)


def nearest_clusters(frames: Frames, centroids: Centroids) -> npt.NDArray[np.uint16]:
    """uint16[n]: the centroid nearest to each frame, of equally near ones the first."""
    found = np.zeros(len(frames), np.uint16)
    squares = (centroids.astype(np.float64) ** 2).sum(axis=1)
    for first in range(0, len(frames), _PIECE_FRAMES):
        piece = frames[first : first + _PIECE_FRAMES].astype(np.float64)
        # |f - c|^2 without what is the same for all c.
        distances = squares - 2 * piece @ centroids.T.astype(np.float64)
        found[first : first + len(piece)] = distances.argmin(axis=1)
    return found


def perplexity(counts: npt.NDArray[np.int64]) -> float:
    """Exp of the entropy of the clusters' shares: as many evenly used clusters would be as mixed.

    1 when all frames are in one cluster, C when all C have equally many; 0 without frames.
    """
    total = counts.sum()
    if total == 0:
        return 0.0
    share = counts[counts > 0] / total
    return float(np.exp(-(share * np.log(share)).sum()))
