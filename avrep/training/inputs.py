"""From a host batch to what an objective sees."""

from collections.abc import Sequence

import torch

from avrep.augment.video_config import VideoAugmentConfig
from avrep.augment.view import augment_view, to_device
from avrep.objectives.base import BatchTensors, ViewTensors
from avrep.types import Batch


def to_inputs(
    batch: Batch, augments: Sequence[VideoAugmentConfig], seed: int, device: torch.device
) -> BatchTensors:
    """Move a batch to the device as bytes and augment each view there as its config says.

    Args:
        batch: from the stream.
        augments: one per view of the batch.
        seed: the run's seed.
        device: where the objective is.
    """
    views = tuple(
        ViewTensors(
            video=None
            if view.video is None
            else augment_view(view, augment, batch.addresses, seed=seed, lane=lane, device=device),
            pts_s=to_device(view.pts_s, device),
            audio=None if view.audio is None else to_device(view.audio, device),
            audio_start_s=None
            if view.audio_start_s is None
            else to_device(view.audio_start_s, device),
            rate_hz=view.rate_hz,
        )
        for lane, (view, augment) in enumerate(zip(batch.views, augments, strict=True))
    )
    return BatchTensors(step=batch.step, views=views)
