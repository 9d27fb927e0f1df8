"""Clips mixed with one another, for training a classifier on mixed labels."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field
from torch import Tensor

from avrep.augment.video_params import Floats
from avrep.frozen import FrozenConfig
from avrep.transfer import to_device


class MixingConfig(FrozenConfig):
    """How clips are mixed; the defaults are those of VideoMAE's fine-tuning (arXiv 2203.12602).

    Mixup blends two clips (Zhang et al., arXiv 1710.09412), CutMix pastes a box of one into the other,
    the same in all frames (Yun et al., arXiv 1905.04899). VideoMAE's released code draws one share and
    one box for a whole batch; here each clip has its own.
    """

    mixup_alpha: float = Field(default=0.8, gt=0)
    """In a blend, the clip's own share is drawn from Beta(alpha, alpha)."""
    cutmix_alpha: float = Field(default=1.0, gt=0)
    """Likewise the share of the frame that a pasted box leaves."""
    cutmix_probability: float = Field(default=0.5, ge=0, le=1)
    """Chance of a box instead of a blend."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mixing:
    """What is done to each clip of a batch."""

    own_share: Floats
    """Of the clip's own label; where nothing is pasted, of its own pixels too."""
    boxes_px: Annotated[npt.NDArray[np.int32], "b 4"]
    """The pasted box as (top, left, height, width); no area: the clips are blended."""


def draw_mixing(
    config: MixingConfig, height_px: int, width_px: int, rngs: Sequence[np.random.Generator]
) -> Mixing:
    """Draw for each clip; every clip draws all its numbers, used or not.

    A box has its middle anywhere in the frame, and the own share is what it leaves of the frame's area.

    Args:
        config: the laws.
        height_px: of the frames.
        width_px: of the frames.
        rngs: one generator a clip.
    """
    shares = np.ones(len(rngs), np.float32)
    boxes = np.zeros((len(rngs), 4), np.int32)
    for row, rng in enumerate(rngs):
        is_box = rng.random() < config.cutmix_probability
        blended = rng.beta(config.mixup_alpha, config.mixup_alpha)
        left_over = rng.beta(config.cutmix_alpha, config.cutmix_alpha)
        middle = int(rng.integers(height_px)), int(rng.integers(width_px))
        if not is_box:
            shares[row] = blended
            continue
        boxes[row] = pasted_box(left_over, middle, height_px, width_px)
        shares[row] = 1 - boxes[row, 2] * boxes[row, 3] / (height_px * width_px)
    return Mixing(own_share=shares, boxes_px=boxes)


def pasted_box(
    left_over: float, middle: tuple[int, int], height_px: int, width_px: int
) -> tuple[int, int, int, int]:
    """A box (top, left, height, width) of the frame's aspect; what reaches beyond the frame is cut off.

    Args:
        left_over: share of the frame's area that the box would leave if none of it were cut off.
        middle: row and column.
        height_px: of the frame.
        width_px: of the frame.
    """
    side = (1 - left_over) ** 0.5
    top, height = _span(middle[0], int(height_px * side), height_px)
    left, width = _span(middle[1], int(width_px * side), width_px)
    return top, left, height, width


def mix_clips(clips: Tensor, others: Tensor, mixing: Mixing) -> Tensor:
    """Each clip mixed with another one.

    Args:
        clips: float[b c t h w].
        others: float[b c t h w], the other clip of each.
        mixing: from `draw_mixing`, for frames of this size.

    Returns:
        float[b c t h w].
    """
    mixed = torch.empty_like(clips)
    for row, (top, left, height, width) in enumerate(mixing.boxes_px.tolist()):
        if height * width:
            mixed[row] = clips[row]
            box = (..., slice(top, top + height), slice(left, left + width))
            mixed[row][box] = others[row][box]
        else:
            torch.lerp(others[row], clips[row], float(mixing.own_share[row]), out=mixed[row])
    return mixed


def mix_targets(targets: Tensor, others: Tensor, mixing: Mixing) -> Tensor:
    """The labels of mixed clips, float[b classes], from both clips' own."""
    share = to_device(mixing.own_share, targets.device)[:, None]
    return share * targets + (1 - share) * others


def _span(middle: int, length: int, most: int) -> tuple[int, int]:
    """First place and length of a span round a place, cut to [0, most)."""
    first, end = max(middle - length // 2, 0), min(middle + length // 2, most)
    return first, end - first
