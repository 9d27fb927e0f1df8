"""SpecAugment on an encoder's features: time bent, and stretches of time and features set to zero.

Park et al., arXiv 1904.08779, in the form and with the sizes of SUPERB's ASR and SF. Of each utterance
by itself: the public toolkit places masks of time on the batch's padded length, so that some fall on
nothing, and we place them on the utterance's own.
"""

from dataclasses import dataclass

import numpy as np
import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from avrep.frozen import FrozenConfig

Span = tuple[int, int]
"""Half-open."""


class SpecAugmentConfig(FrozenConfig):
    """How much; the defaults are SUPERB's. Widths are drawn below their bound, which is never met."""

    warp_frames: int = Field(default=5, ge=0)
    """How far the place that is moved in time may go; a shorter utterance than twice this stays."""
    num_time_masks: int = Field(default=2, ge=0)
    time_mask_frames: int = Field(default=40, ge=1)
    num_feature_masks: int = Field(default=4, ge=0)
    feature_mask_width: int = Field(default=50, ge=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class SpecAugmentDraw:
    """What is done to one utterance."""

    warp: tuple[int, int] | None
    """The frame that is moved, and where to; both parts are stretched or squeezed to fit."""
    time_masks: tuple[Span, ...]
    feature_masks: tuple[Span, ...]


def draw_spec_augment(
    num_frames: int, width: int, config: SpecAugmentConfig, rng: np.random.Generator
) -> SpecAugmentDraw:
    """What to do to an utterance of so many frames and features."""
    warp = None
    reach = config.warp_frames
    if reach and num_frames > 2 * reach:
        centre = int(rng.integers(reach, num_frames - reach))
        warp = centre, centre + int(rng.integers(-reach, reach)) + 1
    features = _spans(width, config.num_feature_masks, config.feature_mask_width, rng)
    times = _spans(num_frames, config.num_time_masks, config.time_mask_frames, rng)
    return SpecAugmentDraw(warp=warp, time_masks=times, feature_masks=features)


def spec_augment(features: Tensor, draw: SpecAugmentDraw) -> Tensor:
    """float[n d] of an utterance's features float[n d].

    Time is bent by cubic interpolation of the frames before and after the one that is moved.
    """
    if draw.warp is not None:
        centre, moved = draw.warp
        after = len(features) - moved
        features = torch.cat(
            [_stretched(features[:centre], moved), _stretched(features[centre:], after)]
        )
    kept = features.new_ones(features.shape)
    for first, end in draw.time_masks:
        kept[first:end] = 0
    for first, end in draw.feature_masks:
        kept[:, first:end] = 0
    return features * kept


def _spans(length: int, num: int, bound: int, rng: np.random.Generator) -> tuple[Span, ...]:
    """Each of a width below `bound`; all begin before the place where the widest would run over."""
    if num == 0:
        return ()
    widths = rng.integers(0, bound, size=num)
    firsts = rng.integers(0, max(1, length - int(widths.max())), size=num)
    return tuple(
        (first, min(length, first + width))
        for first, width in zip(firsts.tolist(), widths.tolist(), strict=True)
    )


def _stretched(frames: Tensor, num_frames: int) -> Tensor:
    size = num_frames, frames.shape[1]
    return functional.interpolate(frames[None, None], size, mode="bicubic", align_corners=False)[
        0, 0
    ]
