"""What a person feels of a poor shuffle: a linear classifier trained online, for one epoch.

The data are synthetic and lie class by class: points around a centre for each class. The learning
rate suits the full shuffle, so the poorer orders meet a setting made for a good one, as they do in
real life.
"""

import numpy as np
import numpy.typing as npt
from scipy.special import softmax

from avrep.pipeline.plan import Plan, visits
from avrep.pipeline.shuffle import ShuffleConfig

NUM_ITEMS, NUM_CLASSES, GLOBAL_BATCH = 20_000, 101, 64
NUM_SEEDS = 4

_WIDTH = 48
_CENTRE_SCALE = 0.45
_LEARNING_RATE = 0.2
_NUM_TEST = 4_000

Floats = npt.NDArray[np.float64]


def probe_accuracies(shuffle: ShuffleConfig | None) -> list[float]:
    """Accuracy on held-out points after one epoch, for each seed.

    Args:
        shuffle: the order of the epoch; None reads as stored, class by class.
    """
    return [_accuracy(shuffle, seed) for seed in range(NUM_SEEDS)]


def full_shuffle() -> ShuffleConfig:
    """The whole corpus in one window."""
    return ShuffleConfig(block_items=1, window_blocks=NUM_ITEMS)


def _accuracy(shuffle: ShuffleConfig | None, seed: int) -> float:
    generator = np.random.default_rng(seed)
    centres = _CENTRE_SCALE * generator.standard_normal((NUM_CLASSES, _WIDTH))
    labels = np.arange(NUM_ITEMS) * NUM_CLASSES // NUM_ITEMS
    points = _around(centres, labels, generator)
    plan = Plan(
        seed=seed,
        rows=np.arange(NUM_ITEMS),
        global_batch=GLOBAL_BATCH,
        shuffle=shuffle or ShuffleConfig(),
    )
    weights = np.zeros((_WIDTH + 1, NUM_CLASSES))
    for step in range(plan.steps_per_epoch):
        if shuffle is None:
            items = np.arange(step * GLOBAL_BATCH, (step + 1) * GLOBAL_BATCH)
        else:
            items = np.array([visit.address.item for visit in visits(plan, step)])
        error = softmax(points[items] @ weights, axis=1)
        error[np.arange(GLOBAL_BATCH), labels[items]] -= 1
        weights -= _LEARNING_RATE / GLOBAL_BATCH * points[items].T @ error
    test_labels = generator.integers(NUM_CLASSES, size=_NUM_TEST)
    test_points = _around(centres, test_labels, generator)
    return float((np.argmax(test_points @ weights, axis=1) == test_labels).mean())


def _around(
    centres: Floats, labels: npt.NDArray[np.int64], generator: np.random.Generator
) -> Floats:
    """A point near the centre of each label, and a constant for the bias."""
    noise = generator.standard_normal((len(labels), _WIDTH))
    return np.column_stack([centres[labels] + noise, np.ones(len(labels))])
