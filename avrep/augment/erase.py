"""Random erasing: a rectangle of a clip becomes noise (Zhong et al., arXiv 1708.04896).

Followed is the code released with SlowFast and with VideoMAE, which descends from timm's: the
rectangle is one for all frames of a clip, its noise is drawn anew for each of them, after pixels are
normalised, from a standard normal. The paper erases from pictures, with uniform noise.
"""

import math
from typing import Annotated

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field

from avrep.augment.ranges import AreaRange, PositiveRange
from avrep.frozen import FrozenConfig

_BOX_TRIES = 100

Box = tuple[int, int, int, int]
"""(top, left, height, width) in pixels."""
NOTHING: Box = (0, 0, 0, 0)


class EraseConfig(FrozenConfig):
    """How rectangles are drawn; the defaults are those of VideoMAE's fine-tuning (arXiv 2203.12602)."""

    probability: float = Field(default=0.25, ge=0, le=1)
    """Chance of a clip to lose a rectangle."""
    area: AreaRange = (0.02, 1 / 3)
    """Range of the rectangle's share of the frame's area, drawn uniformly."""
    aspect: PositiveRange = (0.3, 1 / 0.3)
    """Range of its height divided by its width, drawn uniformly in its logarithm."""


def draw_erased(config: EraseConfig, side_px: int, rng: np.random.Generator) -> tuple[Box, int]:
    """Draw what one clip loses; all numbers are drawn, used or not.

    Of a hundred rectangles, the first is taken that is smaller than the frame both ways, at a uniform
    place.

    Args:
        config: the law.
        side_px: of the square frames.
        rng: the clip's own.

    Returns:
        The rectangle, without area where nothing is lost, and a seed in [0, 2**63) for its noise.
    """
    is_erased = rng.random() < config.probability
    seed = int(rng.integers(2**63))
    box = _draw_box(config, side_px, rng)
    return (box if is_erased else NOTHING), seed


def erase_(
    clips: torch.Tensor,
    boxes_px: Annotated[npt.NDArray[np.int32], "b 4"],
    seeds: Annotated[npt.NDArray[np.int64], "b"],
) -> None:
    """Put noise into each clip's rectangle, in place.

    The noise is drawn where the clips are, by a generator of its own, so that of one seed it is the
    same on any one kind of device, whatever else is drawn.

    Args:
        clips: float32[b 3 t h w], normalised.
        boxes_px: (top, left, height, width) in all frames of each clip; no area: none.
        seeds: of the noise.
    """
    for clip, (top, left, height, width), seed in zip(
        clips, boxes_px.tolist(), seeds.tolist(), strict=True
    ):
        if height * width:
            rng = torch.Generator(clips.device).manual_seed(seed)
            clip[:, :, top : top + height, left : left + width].normal_(generator=rng)


def _draw_box(config: EraseConfig, side_px: int, rng: np.random.Generator) -> Box:
    for _ in range(_BOX_TRIES):
        area = side_px**2 * rng.uniform(*config.area)
        aspect = math.exp(rng.uniform(*np.log(config.aspect)))
        height, width = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if height < side_px and width < side_px:
            top = int(rng.integers(side_px - height + 1))
            left = int(rng.integers(side_px - width + 1))
            return top, left, height, width
    return NOTHING
