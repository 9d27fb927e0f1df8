"""The fixed crops under which an encoder is measured: nothing random."""

from typing import Annotated, Literal, Self

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field, model_validator

from avrep.augment.colour import normalize_
from avrep.augment.resample import resample_matrices
from avrep.frozen import FrozenConfig
from avrep.types import Geometry

_Finite = Annotated[float, Field(allow_inf_nan=False)]
_Positive = Annotated[float, Field(gt=0, le=1000)]


class CropConfig(FrozenConfig):
    """Square crops of frames that are first brought to a common short side.

    The defaults are the test crops of CVRL's linear evaluation (arXiv 2008.03800, released code).
    """

    short_side_px: int = Field(default=256, ge=8, le=2048)
    """Frames are resized, keeping their aspect, until their shorter side has this many pixels."""
    crop_px: int = Field(default=256, ge=8, le=2048)
    """Side of the square crops, at most `short_side_px`."""
    num_crops: Literal[1, 3] = 3
    """1: the centre. 3: both ends and the middle of the longer side."""
    mean: tuple[_Finite, _Finite, _Finite] = (0.5, 0.5, 0.5)
    """Subtracted from the red, green and blue values, which lie in [0, 1]."""
    std: tuple[_Positive, _Positive, _Positive] = (0.5, 0.5, 0.5)
    """What they are then divided by."""

    @model_validator(mode="after")
    def _crop_fits(self) -> Self:
        if self.crop_px > self.short_side_px:
            raise ValueError(
                f"crop_px is {self.crop_px}; it must be at most short_side_px, {self.short_side_px}"
            )
        return self


def crop_views(
    video: torch.Tensor, size_px: Annotated[npt.NDArray[np.int32], "b 2"], config: CropConfig
) -> torch.Tensor:
    """Resize each clip's own frames to the short side (antialiased) and cut its crops.

    Args:
        video: uint8[b t h w 3]; frames may be padded below and right.
        size_px: height and width of each clip's own frames.
        config: what to cut.

    Returns:
        float32[b num_crops 3 t crop_px crop_px], normalised; crops go from left to right, or from
        top to bottom in frames that are taller than wide.

    Raises:
        ValueError: the video's form or a size does not fit.
    """
    if video.ndim != 5 or video.shape[4] != 3 or video.dtype != torch.uint8:
        raise ValueError(f"video must be uint8[b t h w 3], got {video.dtype}{list(video.shape)}")
    if len(size_px) != len(video) or (size_px < 1).any() or (size_px > video.shape[2:4]).any():
        raise ValueError(f"sizes {size_px.tolist()} do not fit video {list(video.shape)}")
    shape = (len(video), config.num_crops, 3, video.shape[1], config.crop_px, config.crop_px)
    out = torch.empty(shape, device=video.device)
    geometry = Geometry(short_side_px=config.short_side_px)
    for clip, crops, (height, width) in zip(video, out, size_px.tolist(), strict=True):
        wide, tall = geometry.size_px(width, height)
        planes = clip[:, :height, :width].permute(3, 0, 1, 2).contiguous().float()
        rows = resample_matrices(np.array([height]), tall, video.device)[0] / 255
        columns = resample_matrices(np.array([width]), wide, video.device)[0]
        for crop, (top, left) in zip(crops, _corners(tall, wide, config), strict=True):
            across = columns[left : left + config.crop_px]
            down = rows[top : top + config.crop_px]
            torch.matmul(down, planes @ across.T, out=crop)
        normalize_(crops, config.mean, config.std)
    return out


def _corners(tall_px: int, wide_px: int, config: CropConfig) -> list[tuple[int, int]]:
    """(top, left) of each crop in the resized frame; the middle is rounded up and left."""
    last_top, last_left = tall_px - config.crop_px, wide_px - config.crop_px
    centre = (last_top // 2, last_left // 2)
    if config.num_crops == 1:
        return [centre]
    if wide_px >= tall_px:
        return [(centre[0], 0), centre, (centre[0], last_left)]
    return [(0, centre[1]), centre, (last_top, centre[1])]
