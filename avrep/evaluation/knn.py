"""Weighted k-nearest-neighbour classification of frozen features (Wu et al., arXiv 1805.01978)."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from pydantic import Field

from avrep.evaluation.features_table import Vectors
from avrep.evaluation.neighbours import nearest
from avrep.frozen import FrozenConfig


class KnnConfig(FrozenConfig):
    k: int = Field(default=20, ge=1)
    """Neighbours that vote, at most as many as there are train videos. The paper takes 200 of
    ImageNet's 1.3 million; 20 suits thousands (avrep default)."""
    temperature: float = Field(default=0.07, gt=0)
    """A neighbour's vote is exp(cosine / temperature)."""


def knn_predict(
    train: Vectors, train_labels: Sequence[str], test: Vectors, config: KnnConfig
) -> npt.NDArray[np.str_]:
    """The class with the most votes for each test row (arXiv 1805.01978, section 3.4).

    Features are l2-normalised here. Equal votes go to the alphabetically first class.

    Args:
        train: float32[n d].
        train_labels: n class names.
        test: float32[q d].
        config: k and temperature; nothing is chosen on data.

    Returns:
        Class names, str[q].
    """
    names, classes = np.unique(np.asarray(train_labels, dtype=np.str_), return_inverse=True)
    rows, cosines = nearest(test, train, min(config.k, len(train)))
    # Relative to the nearest neighbour, so that no temperature overflows; shares stay the same.
    relative = cosines.astype(np.float64) - cosines[:, :1]
    votes = np.exp(relative / config.temperature)
    totals = np.zeros((len(test), len(names)))
    np.add.at(totals, (np.arange(len(test))[:, None], classes[rows]), votes)
    return names[totals.argmax(axis=1)]
