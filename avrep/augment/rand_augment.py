"""RandAugment's draws: a few operations for each clip (Cubuk et al., arXiv 1909.13719).

Followed is the code released with SlowFast and with VideoMAE, which descends from timm's, where its
policy is called `rand-m7-n4-mstd0.5-inc1`. The paper makes every operation that it draws, all of them
at one magnitude; here each is made with a chance, at a magnitude of its own.
"""

from typing import Annotated

import numpy as np
import numpy.typing as npt
from pydantic import Field

from avrep.frozen import FrozenConfig

OPERATIONS = (
    "autocontrast",
    "equalize",
    "invert",
    "rotate",
    "posterize",
    "solarize",
    "solarize_add",
    "colour",
    "contrast",
    "brightness",
    "sharpness",
    "shear_x",
    "shear_y",
    "translate_x",
    "translate_y",
)
"""What is drawn from, each as likely; a number in `Operations` is a place here."""
NOT_MADE = -1
"""In place of an operation that was drawn and is not made."""

Operations = Annotated[npt.NDArray[np.int64], "n"]
Strengths = Annotated[npt.NDArray[np.float64], "n"]

_MAX_MAGNITUDE = 10.0


class RandAugmentConfig(FrozenConfig):
    """How operations are drawn; the defaults are those of VideoMAE's fine-tuning (arXiv 2203.12602)."""

    num_operations: int = Field(default=4, ge=1, le=100)
    """Drawn with replacement, and made in the order of the draw."""
    magnitude: float = Field(default=7.0, ge=0, le=_MAX_MAGNITUDE)
    """Mean of each operation's magnitude; 0 is weak and 10 is strong."""
    magnitude_std: float = Field(default=0.5, ge=0, le=_MAX_MAGNITUDE)
    """Standard deviation of each magnitude, a normal number that is cut to [0, 10]."""
    probability: float = Field(default=0.5, ge=0, le=1)
    """Chance of each drawn operation to be made."""


def draw_operations(
    config: RandAugmentConfig, rng: np.random.Generator
) -> tuple[Operations, Strengths]:
    """Draw what is done to one clip; all numbers are drawn, used or not.

    Args:
        config: the law.
        rng: the clip's own.

    Returns:
        The operations, `NOT_MADE` where one is not, and their strengths: a tenth of the magnitude, in
        [-1, 1], whose sign is as often the one as the other and means something to those that go two
        ways.
    """
    num = config.num_operations
    drawn = rng.integers(len(OPERATIONS), size=num)
    is_made = rng.random(num) < config.probability
    is_negative = rng.random(num) < 0.5
    magnitudes = config.magnitude + config.magnitude_std * rng.standard_normal(num)
    shares = np.clip(magnitudes, 0, _MAX_MAGNITUDE) / _MAX_MAGNITUDE
    return np.where(is_made, drawn, NOT_MADE), np.where(is_negative, -shares, shares)
