"""Which examples a head is fed, batch after batch: pure functions of the batch's number."""

from collections.abc import Sequence

import numpy as np

from avrep.evaluation.sound.head import BatchPlan
from avrep.rng import Stage, at
from avrep.types import Address

_SHUFFLED_LANE = 1 << 20
_BALANCED_LANE = _SHUFFLED_LANE + 1


def shuffled_plan(num_examples: int, batch_size: int, seed: int) -> BatchPlan:
    """Every example once an epoch, in an order of the epoch's own; the last batch may be smaller.

    Args:
        num_examples: at least 1.
        batch_size: at least 1.
        seed: decides the orders.
    """
    per_epoch = -(-num_examples // batch_size)
    orders: dict[int, list[int]] = {}

    def batch(number: int) -> tuple[int, ...]:
        epoch, place = divmod(number, per_epoch)
        if epoch not in orders:
            # Only the epoch at hand is kept.
            orders.clear()
            draws = at(seed, Stage.EVALUATION, Address(epoch, 0), lane=_SHUFFLED_LANE)
            orders[epoch] = draws.permutation(num_examples).tolist()
        return tuple(orders[epoch][place * batch_size : (place + 1) * batch_size])

    return batch


def balanced_plan(labels: Sequence[str], batch_size: int, seed: int) -> BatchPlan:
    """Full batches of independent draws, each class as likely as any other, then each of its examples.

    The public toolkit's for keyword spotting: draws with replacement, an example's weight one over
    its class's size, and no smaller batch at the end of an epoch.

    Args:
        labels: of each example.
        batch_size: at least 1.
        seed: decides the draws.
    """
    names, classes = np.unique(labels, return_inverse=True)
    members = [np.flatnonzero(classes == number) for number in range(len(names))]
    sizes = np.array([len(own) for own in members])

    def batch(number: int) -> tuple[int, ...]:
        draws = at(seed, Stage.EVALUATION, Address(0, number), lane=_BALANCED_LANE)
        drawn = draws.integers(0, len(names), batch_size)
        places = draws.integers(0, sizes[drawn])
        return tuple(int(members[own][place]) for own, place in zip(drawn, places, strict=True))

    return batch
