"""Affine changes of place, resampled as Pillow's `Image.transform` does with BICUBIC.

Pillow's cubic there has the parameter -1, torch's `grid_sample` -0.75 (and Pillow's own resizing -0.5),
so that published augmentations, which are Pillow's, need a sampler of their own.
"""

import math

import torch
from torch.nn import functional

Matrix = tuple[float, float, float, float, float, float]
"""(a, b, c, d, e, f): the value at (x, y) is taken from (a x + b y + c, d x + e y + f)."""

_CUBIC = -1.0
# Weights in single precision sum to a little less than 1, which must not cost a level of brightness.
_HAIR = 1e-3


def rotation(degrees: float, height_px: int, width_px: int) -> Matrix:
    """A turn about the middle of the frame, counter-clockwise as one looks at it."""
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    x, y = width_px / 2, height_px / 2
    return cos, -sin, x - cos * x + sin * y, sin, cos, y - sin * x - cos * y


def warp(frames: torch.Tensor, matrix: Matrix, fill: int) -> torch.Tensor:
    """Move the pixels of all frames alike.

    Coordinates have their origin in the upper left corner, and pixel 0 its middle at 0.5. A pixel
    whose own place lies outside the frame gets the fill; beside an edge, taps beyond it take the
    edge's value. Results are cut to whole levels, not rounded.

    Args:
        frames: uint8[t c h w].
        matrix: where each pixel comes from.
        fill: level of what comes from outside.

    Returns:
        uint8[t c h w].
    """
    num_frames, channels, height, width = frames.shape
    a, b, c, d, e, f = matrix
    x = torch.arange(width, dtype=torch.float64, device=frames.device) + 0.5
    y = torch.arange(height, dtype=torch.float64, device=frames.device)[:, None] + 0.5
    from_x, from_y = (a * x + b * y + c).flatten(), (d * x + e * y + f).flatten()
    inside = (from_x >= 0) & (from_x < width) & (from_y >= 0) & (from_y < height)
    columns, across = _taps(from_x, width)
    rows, down = _taps(from_y, height)
    # Each pixel of the result is a weighted sum of 16 of the source's, in all frames and channels.
    places = (rows[:, :, None] * width + columns[:, None]).flatten(1)
    weights = (down[:, :, None] * across[:, None]).flatten(1).float()
    source = frames.permute(2, 3, 0, 1).reshape(height * width, num_frames * channels).float()
    moved = functional.embedding_bag(places, source, mode="sum", per_sample_weights=weights)
    moved = torch.where(inside[:, None], moved.add_(_HAIR).clamp_(0, 255), float(fill))
    return moved.byte().view(height, width, num_frames, channels).permute(2, 3, 0, 1).contiguous()


def _taps(at: torch.Tensor, length: int) -> tuple[torch.Tensor, torch.Tensor]:
    """int64[n 4] and float64[n 4]: the pixels round each place, and their weights."""
    first = (at - 0.5).floor()
    part = (at - 0.5 - first)[:, None]
    offsets = torch.arange(-1, 3, device=at.device)
    far = (offsets - part).abs()
    inner = (_CUBIC + 2) * far**3 - (_CUBIC + 3) * far**2 + 1
    outer = _CUBIC * (far**3 - 5 * far**2 + 8 * far - 4)
    weights = torch.where(far <= 1, inner, outer)
    return (first.long()[:, None] + offsets).clamp_(0, length - 1), weights
