"""Addressed randomness: a generator is a pure function of (seed, stage, address, lane).

There is no generator state anywhere to save, pass on or corrupt. The coordinates sit in separate
words of a counter-based generator (Philox 4x64: Salmon et al., "Parallel random numbers: as easy
as 1, 2, 3", SC 2011), so that no two coordinates can be confused the way sums of seeds can.
"""

from enum import IntEnum

import numpy as np

from avrep.types import Address


class Stage(IntEnum):
    """What a draw is for. Numbers are part of every run's meaning: add at the end, never reorder."""

    PLAN = 1
    SAMPLE = 2
    AUGMENT = 3
    MODEL = 4
    OBJECTIVE = 5
    EVALUATION = 6
    SYNTH = 7


def at(seed: int, stage: Stage, address: Address, lane: int = 0) -> np.random.Generator:
    """The generator of one stage of one clip draw.

    Args:
        seed: the run's seed, in [0, 2**64).
        stage: what the numbers are for.
        address: which clip draw.
        lane: tells apart independent streams of the same stage and address (views, for one).
    """
    key = np.array([seed, (int(stage) << 32) | lane], dtype=np.uint64)
    # Word 0 counts the blocks drawn; the address fills the other three.
    counter = np.array([0, address.draw, address.item, address.epoch], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(counter=counter, key=key))


def device_seed(seed: int, stage: Stage, step: int, rank: int = 0) -> int:
    """A seed in [0, 2**63) for a device's own generator at one step of one rank."""
    return int(at(seed, stage, Address(step, rank)).integers(0, 2**63))
