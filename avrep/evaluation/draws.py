"""The random draws of evaluation, each with a lane of its own so that none echoes another."""

from enum import IntEnum

import numpy as np

from avrep.rng import Stage, at
from avrep.types import Address

_FIRST = Address(0, 0)


class Draw(IntEnum):
    """What a draw is for. Numbers are part of every result's meaning: add at the end."""

    HOLD_OUT = 1
    BOOTSTRAP = 2
    FOLDER_SPLIT = 3
    FEW_SHOT = 4
    FRAME_ORDER = 5


def generator(seed: int, draw: Draw, address: Address = _FIRST) -> np.random.Generator:
    """The generator of one kind of draw: the same for every encoder measured with `seed`.

    Args:
        seed: of the evaluation.
        draw: what for.
        address: which, where there are several of a kind.
    """
    return at(seed, Stage.EVALUATION, address, lane=int(draw))
