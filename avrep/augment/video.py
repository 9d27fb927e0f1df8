"""Training clips, from bytes to augmented floats, on whatever device they are on."""

from collections.abc import Callable
from functools import partial

import numpy as np
import torch

from avrep.augment.blur import blur_
from avrep.augment.colour import (
    make_gray_,
    normalize_,
    scale_brightness_,
    scale_contrast_,
    scale_saturation_,
    solarize_,
    turn_hue_,
)
from avrep.augment.erase import erase_
from avrep.augment.resample import crop_resize
from avrep.augment.video_config import VideoAugmentConfig
from avrep.augment.video_params import Flags, Floats, VideoParams
from avrep.transfer import to_device

Change = Callable[..., None]


def augment_video(
    video: torch.Tensor,
    params: VideoParams,
    config: VideoAugmentConfig,
    *,
    group: int | None = None,
) -> torch.Tensor:
    """Crop, resize, flip, change colours, blur, solarise and normalise each clip.

    Before all that come RandAugment's operations, on the clip's own whole frames as they are, in
    bytes, and after it comes erasing, where the config has them.

    The order, and the ranges in `cvrl_view`, are those of CVRL's released code (arXiv 2008.03800),
    with two differences: the resize is antialiased, and its result is not cut to bytes. Each clip
    has one set of parameters for all its frames, and its result does not depend on the other clips
    of the batch.

    Args:
        video: uint8[b t h w 3].
        params: what to do to each clip, from `draw_video_params`.
        config: the config that the parameters were drawn from.
        group: how many clips that share an operation go through it together. None: 1 on a CPU,
            where a single clip needs no gathering, and 16 elsewhere, which keeps the operations'
            temporaries small beside the batch. The result is the same.

    Returns:
        float32[b 3 t crop_px crop_px], normalised by `config.mean` and `config.std`.

    Raises:
        ValueError: the video's form, the number of parameters or a box does not fit.
    """
    _check(video, params)
    if group is None:
        group = 1 if video.device.type == "cpu" else 16
    change = partial(_operated, params) if config.rand_augment is not None else None
    clips = crop_resize(video, params.boxes_px, params.flip, config.crop_px, change)
    _jitter_(clips, params, group)
    _apply_(make_gray_, clips, params.gray, group)
    if config.blur_radius_px > 0:
        blur = partial(blur_, radius_px=config.blur_radius_px)
        _apply_(blur, clips, params.blur, group, params.blur_sigma_px)
    _apply_(solarize_, clips, params.solarize, group)
    normalize_(clips, config.mean, config.std)
    erase_(clips, params.erased_px, params.noise_seed)
    return clips


def _operated(params: VideoParams, row: int, frames: torch.Tensor) -> torch.Tensor:
    """uint8[t h w 3] of uint8[t h w 3], less what is padding."""
    # Seconds, which nobody pays who has no RandAugment.
    from avrep.augment.rand_operations import apply_operations

    height, width = params.size_px[row].tolist()
    planes = frames[:, :height, :width].permute(0, 3, 1, 2)
    changed = apply_operations(planes, params.operations[row], params.strengths[row])
    return changed.permute(0, 2, 3, 1)


def _jitter_(clips: torch.Tensor, params: VideoParams, group: int) -> None:
    """The four colour changes, in each clip's own order; one that would change nothing is skipped."""
    changes: tuple[tuple[Change, Floats, float], ...] = (
        (scale_brightness_, params.brightness, 1.0),
        (scale_contrast_, params.contrast, 1.0),
        (scale_saturation_, params.saturation, 1.0),
        (turn_hue_, params.hue, 0.0),
    )
    for turn in params.jitter_order.T:
        for number, (change, values, neutral) in enumerate(changes):
            chosen = params.jitter & (turn == number) & (values != neutral)
            _apply_(change, clips, chosen, group, values)


def _apply_(
    change: Change, clips: torch.Tensor, chosen: Flags, group: int, values: Floats | None = None
) -> None:
    """Run a change in place on the chosen clips, with each clip's own value if it takes one."""
    rows = np.flatnonzero(chosen)
    for start in range(0, len(rows), group):
        some = rows[start : start + group]
        own = () if values is None else (to_device(values[some], clips.device),)
        if len(some) == 1:
            change(clips[some[0] : some[0] + 1], *own)
        else:
            at = to_device(some, clips.device)
            gathered = clips[at]
            change(gathered, *own)
            clips[at] = gathered


def _check(video: torch.Tensor, params: VideoParams) -> None:
    if video.ndim != 5 or video.shape[4] != 3 or video.dtype != torch.uint8:
        raise ValueError(f"video must be uint8[b t h w 3], got {video.dtype}{list(video.shape)}")
    if len(params.boxes_px) != len(video):
        raise ValueError(f"{len(video)} clips but parameters for {len(params.boxes_px)}")
    top, left, height, width = params.boxes_px.T
    inside = (top >= 0) & (left >= 0) & (height > 0) & (width > 0)
    inside &= (top + height <= video.shape[2]) & (left + width <= video.shape[3])
    if not inside.all():
        box = params.boxes_px[~inside][0].tolist()
        raise ValueError(f"box {box} is not inside frames of {list(video.shape[2:4])} pixels")
