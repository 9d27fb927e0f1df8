"""Cropping, resizing and mirroring as two products with resampling matrices.

A resize is linear and works on each axis alone, so it is a matrix per axis. Its rows hold the
weights of an antialiasing triangle filter, the one behind bilinear `antialias=True` resizing in
torch and Pillow; a mirror image is the same matrix with its rows reversed.
"""

from collections.abc import Callable
from typing import Annotated

import numpy as np
import numpy.typing as npt
import torch

from avrep.transfer import to_device

Flags = Annotated[npt.NDArray[np.bool_], "b"]
Lengths = Annotated[npt.NDArray[np.int64], "b"]
Boxes = Annotated[npt.NDArray[np.int32], "b 4"]


def resample_matrices(lengths: Lengths, out_px: int, device: torch.device) -> torch.Tensor:
    """Matrices that bring `lengths[i]` pixels to `out_px` pixels.

    Output pixel o lies over the input at c = (o + 0.5) * scale with scale = length / out; input
    pixel j weighs max(0, 1 - |j + 0.5 - c| / max(scale, 1)), and each row is brought to sum 1.

    Args:
        lengths: pixels on the axis of each clip's crop, at least 1.
        out_px: pixels that come out.
        device: where the matrices are made.

    Returns:
        float32[b out_px max(lengths)]; columns from `lengths[i]` on are 0.
    """
    length = to_device(lengths, device).double()[:, None, None]
    source = torch.arange(int(lengths.max()), dtype=torch.float64, device=device) + 0.5
    target = torch.arange(out_px, dtype=torch.float64, device=device)[:, None] + 0.5
    scale = length / out_px
    weights = (1 - (source - target * scale).abs() / scale.clamp_min(1)).clamp_min_(0)
    weights *= source < length
    return (weights / weights.sum(dim=2, keepdim=True)).float()


def crop_resize(
    video: torch.Tensor,
    boxes_px: Boxes,
    flip: Flags,
    out_px: int,
    change: Callable[[int, torch.Tensor], torch.Tensor] | None = None,
) -> torch.Tensor:
    """Crop each clip to its box, resize the crop to a square and mirror it where asked.

    Clips are taken one at a time, so that the result for a clip is the same, to the bit, in any
    batch, only its box is read, and no more than one clip's intermediates exist at once.

    Args:
        video: uint8[b t h w 3].
        boxes_px: (top, left, height, width) of each clip's crop, in whole pixels.
        flip: which clips come out mirrored, left for right.
        out_px: side of the square that comes out.
        change: called with a clip's number and its frames, uint8[t h w 3], gives those that are
            cropped, of which no more than the clip's box must be there; None: the frames as they are.

    Returns:
        float32[b 3 t out_px out_px] in [0, 1], up to rounding.
    """
    batch, num_frames = video.shape[:2]
    out = torch.empty(batch, 3, num_frames, out_px, out_px, device=video.device)
    sides = boxes_px[:, 2:].astype(np.int64)
    # Dividing the small matrices by 255 saves a pass over the frames.
    rows = resample_matrices(sides[:, 0], out_px, video.device) / 255
    columns = resample_matrices(sides[:, 1], out_px, video.device)
    for i, (top, left, height, width) in enumerate(boxes_px.tolist()):
        frames = video[i] if change is None else change(i, video[i])
        crop = frames[:, top : top + height, left : left + width]
        # Bytes are cheaper to reorder than floats.
        planes = crop.permute(3, 0, 1, 2).contiguous().float()
        across = columns[i, :, :width]
        if flip[i]:
            across = across.flip(0)
        torch.matmul(rows[i, :, :height], planes @ across.T, out=out[i])
    return out
