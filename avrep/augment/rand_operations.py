"""RandAugment's operations on the frames of a clip, as Pillow's that the released codes call.

Each takes uint8[t 3 h w] and a strength in [-1, 1], and gives uint8[t 3 h w]. What an operation
learns from a picture (its extremes, its histogram, its mean) it learns from each frame by itself, as
the released codes take frame after frame. Turned, sheared and moved is as Pillow does it bicubically,
about the middle or from the upper left corner, and what comes from outside is mid-gray: SlowFast and
VideoMAE hand on no mean colour, so their default of 128 holds.

Importing this imports torchvision's transforms, which takes seconds.
"""

from collections.abc import Callable

import torch
from torchvision.transforms.v2 import functional as tv

from avrep.augment.rand_augment import NOT_MADE, OPERATIONS, Operations, Strengths
from avrep.augment.warp import rotation, warp

_FILL = 128
_MOST_DEGREES = 30.0
_MOST_SHEAR = 0.3
_MOST_TRANSLATED = 0.45
_MOST_ENHANCED = 0.9
_MOST_ADDED = 110
_DARK = 128


def apply_operations(
    frames: torch.Tensor, operations: Operations, strengths: Strengths
) -> torch.Tensor:
    """Make a clip's operations, one after the other, the same for all its frames.

    Args:
        frames: uint8[t 3 h w], left as they are.
        operations: from `rand_augment.draw_operations`.
        strengths: likewise.

    Returns:
        uint8[t 3 h w].
    """
    for number, strength in zip(operations.tolist(), strengths.tolist(), strict=True):
        if number != NOT_MADE:
            frames = _CHANGES[OPERATIONS[number]](frames, strength)
    return frames


def _autocontrast(frames: torch.Tensor, strength: float) -> torch.Tensor:
    del strength
    return tv.autocontrast(frames)


def _equalize(frames: torch.Tensor, strength: float) -> torch.Tensor:
    del strength
    return tv.equalize(frames)


def _invert(frames: torch.Tensor, strength: float) -> torch.Tensor:
    del strength
    return tv.invert(frames)


def _rotate(frames: torch.Tensor, strength: float) -> torch.Tensor:
    return warp(frames, rotation(_MOST_DEGREES * strength, *frames.shape[2:]), _FILL)


def _posterize(frames: torch.Tensor, strength: float) -> torch.Tensor:
    """Keep 4 bits at strength 0, none at 1."""
    return tv.posterize(frames, 4 - int(abs(strength) * 4))


def _solarize(frames: torch.Tensor, strength: float) -> torch.Tensor:
    """Invert levels from 256 up at strength 0, from 0 up at 1."""
    threshold = 256 - int(abs(strength) * 256)
    return torch.where(frames.short() < threshold, frames, 255 - frames)


def _solarize_add(frames: torch.Tensor, strength: float) -> torch.Tensor:
    """Brighten what is dark."""
    return torch.where(frames < _DARK, frames + int(abs(strength) * _MOST_ADDED), frames)


def _colour(frames: torch.Tensor, strength: float) -> torch.Tensor:
    return tv.adjust_saturation(frames, 1 + _MOST_ENHANCED * strength)


def _contrast(frames: torch.Tensor, strength: float) -> torch.Tensor:
    return tv.adjust_contrast(frames, 1 + _MOST_ENHANCED * strength)


def _brightness(frames: torch.Tensor, strength: float) -> torch.Tensor:
    return tv.adjust_brightness(frames, 1 + _MOST_ENHANCED * strength)


def _sharpness(frames: torch.Tensor, strength: float) -> torch.Tensor:
    return tv.adjust_sharpness(frames, 1 + _MOST_ENHANCED * strength)


def _shear_x(frames: torch.Tensor, strength: float) -> torch.Tensor:
    return warp(frames, (1, _MOST_SHEAR * strength, 0, 0, 1, 0), _FILL)


def _shear_y(frames: torch.Tensor, strength: float) -> torch.Tensor:
    return warp(frames, (1, 0, 0, _MOST_SHEAR * strength, 1, 0), _FILL)


def _translate_x(frames: torch.Tensor, strength: float) -> torch.Tensor:
    return warp(frames, (1, 0, _MOST_TRANSLATED * strength * frames.shape[3], 0, 1, 0), _FILL)


def _translate_y(frames: torch.Tensor, strength: float) -> torch.Tensor:
    return warp(frames, (1, 0, 0, 0, 1, _MOST_TRANSLATED * strength * frames.shape[2]), _FILL)


_CHANGES: dict[str, Callable[[torch.Tensor, float], torch.Tensor]] = {
    "autocontrast": _autocontrast,
    "equalize": _equalize,
    "invert": _invert,
    "rotate": _rotate,
    "posterize": _posterize,
    "solarize": _solarize,
    "solarize_add": _solarize_add,
    "colour": _colour,
    "contrast": _contrast,
    "brightness": _brightness,
    "sharpness": _sharpness,
    "shear_x": _shear_x,
    "shear_y": _shear_y,
    "translate_x": _translate_x,
    "translate_y": _translate_y,
}
