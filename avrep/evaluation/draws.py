"""The random draws of evaluation, each with a lane of its own so that none echoes another."""

from enum import IntEnum

import numpy as np

from avrep.rng import Stage, at
from avrep.types import Address


class Draw(IntEnum):
    """What a draw is for. Numbers are part of every result's meaning: add at the end."""

    HOLD_OUT = 1
    BOOTSTRAP = 2
    FOLDER_SPLIT = 3


def generator(seed: int, draw: Draw) -> np.random.Generator:
    """The generator of one kind of draw: the same for every encoder measured with `seed`."""
    return at(seed, Stage.EVALUATION, Address(0, 0), lane=int(draw))
