"""Colour changes of whole clips, in place: one factor per clip, so that no frame differs from another.

The semantics are those of CVRL's released code (arXiv 2008.03800), which stacks a clip's frames into
one tall image and calls TensorFlow's image operations on it. Every function takes float32[n 3 t h w]
in [0, 1] and, `normalize_` apart, leaves values in [0, 1]; `factors` and `turns` are float32[n].
"""

from collections.abc import Sequence

import torch

from avrep.transfer import to_device

# ITU-R BT.601, as rounded in TensorFlow's rgb_to_grayscale.
_LUMA = (0.2989, 0.5870, 0.1140)
_TINY = 1e-12


def scale_brightness_(clips: torch.Tensor, factors: torch.Tensor) -> None:
    """Multiply colours by the factor."""
    clips.mul_(_per_clip(factors)).clamp_(max=1)


def scale_contrast_(clips: torch.Tensor, factors: torch.Tensor) -> None:
    """Scale distances from each channel's mean over the whole clip: all frames, rows and columns."""
    # One reduction per clip: the order of a sum may depend on how many rows are summed at once.
    means = torch.stack([clip.mean(dim=(1, 2, 3)) for clip in clips])[:, :, None, None, None]
    factors = _per_clip(factors)
    clips.mul_(factors).add_(means * (1 - factors)).clamp_(0, 1)


def scale_saturation_(clips: torch.Tensor, factors: torch.Tensor) -> None:
    """Multiply S in HSV by the factor, up to 1; H and V stay.

    With V the largest channel and L the smallest, S = (V - L) / V and each channel lies at V minus
    a part of V * S that H alone fixes, so that scaling S scales the distances from V. S reaches 1
    at the factor V / (V - L).
    """
    top, low = clips.amax(dim=1, keepdim=True), clips.amin(dim=1, keepdim=True)
    most = top / (top - low).clamp_min_(_TINY)
    ratio = torch.minimum(most, _per_clip(factors), out=most)
    torch.lerp(top, clips, ratio, out=clips).clamp_(0, 1)


def turn_hue_(clips: torch.Tensor, turns: torch.Tensor) -> None:
    """Add a part of the colour circle to H in HSV; S and V stay.

    Let r, g, b be the channels brought to [0, 1], so that one of them is 0 and one is 1. Hue in
    sixths of the circle from red, negative on the blue side, then has the size 1 + g + b - r and
    the sign of g - b: each of the circle's six edges satisfies it. (Telling the edges apart with
    `torch.where` took three times as long.)
    """
    red, green, blue = clips.unbind(dim=1)
    top, low = clips.amax(dim=1), clips.amin(dim=1)
    chroma = (top - low).clamp_min_(_TINY)
    hue = (green + blue).sub_(red).sub_(low).div_(chroma).add_(1)
    torch.copysign(hue, green - blue, out=hue).add_(6 * turns[:, None, None, None])
    hue.sub_((hue / 6).floor_(), alpha=6)
    # A channel is at the top for a third of the circle around its own hue, and climbs or falls
    # for a sixth on either side. Red lies at 0 and 6, so it is told by the distance from cyan.
    torch.lerp(low, top, (hue - 3).abs_().sub_(1).clamp_(0, 1), out=red)
    torch.lerp(low, top, (hue - 2).abs_().neg_().add_(2).clamp_(0, 1), out=green)
    torch.lerp(low, top, (hue - 4).abs_().neg_().add_(2).clamp_(0, 1), out=blue)


def make_gray_(clips: torch.Tensor) -> None:
    """Put luma in all three channels."""
    red, green, blue = clips.unbind(dim=1)
    luma = (red * _LUMA[0]).add_(green, alpha=_LUMA[1]).add_(blue, alpha=_LUMA[2])
    clips.copy_(luma[:, None])


def solarize_(clips: torch.Tensor) -> None:
    """Invert values from 0.5 up."""
    torch.minimum(clips, 1 - clips, out=clips)


def normalize_(clips: torch.Tensor, mean: Sequence[float], std: Sequence[float]) -> None:
    """Subtract each channel's `mean`, then divide by its `std`."""
    shape = (3, 1, 1, 1)
    clips.sub_(to_device(torch.tensor(mean), clips.device).view(shape))
    clips.div_(to_device(torch.tensor(std), clips.device).view(shape))


def _per_clip(values: torch.Tensor) -> torch.Tensor:
    return values[:, None, None, None, None]
