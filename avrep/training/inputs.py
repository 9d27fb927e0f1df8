"""From a host batch to what an objective sees: moved as bytes, then augmented on the device."""

from collections.abc import Sequence
from dataclasses import replace

import torch

from avrep import rng
from avrep.augment.video import augment_video
from avrep.augment.video_config import VideoAugmentConfig
from avrep.augment.video_params import draw_video_params
from avrep.augment.view import to_device
from avrep.objectives.base import BatchTensors, ViewTensors
from avrep.types import Batch


def move_batch(batch: Batch, device: torch.device) -> tuple[ViewTensors, ...]:
    """Each view on the device, its video still uint8[b t h w 3]."""
    return tuple(
        ViewTensors(
            video=None if view.video is None else to_device(view.video, device),
            pts_s=to_device(view.pts_s, device),
            audio=None if view.audio is None else to_device(view.audio, device),
            audio_start_s=None
            if view.audio_start_s is None
            else to_device(view.audio_start_s, device),
            num_samples=None if view.num_samples is None else to_device(view.num_samples, device),
            first_frame_s=None
            if view.first_frame_s is None
            else to_device(view.first_frame_s, device),
            rate_hz=view.rate_hz,
        )
        for view in batch.views
    )


def augment_batch(
    batch: Batch,
    moved: Sequence[ViewTensors],
    augments: Sequence[VideoAugmentConfig | None],
    seed: int,
    lanes: Sequence[int] | None = None,
) -> BatchTensors:
    """Augment each view where it is, as its config says; each clip's draws are its address's.

    Args:
        batch: from the stream.
        moved: its views, from `move_batch`.
        augments: one per view of the batch; None leaves a view as it is.
        seed: the run's seed.
        lanes: one per view: views of one lane have the same draws; None: each has its own.
    """
    if lanes is None:
        lanes = range(len(augments))
    views: list[ViewTensors] = []
    for host, view, augment, lane in zip(batch.views, moved, augments, lanes, strict=True):
        if view.video is None or augment is None:
            views.append(view)
            continue
        rngs = [rng.at(seed, rng.Stage.AUGMENT, address, lane) for address in batch.addresses]
        params = draw_video_params(augment, host.size_px, rngs)
        views.append(replace(view, video=augment_video(view.video, params, augment)))
    return BatchTensors(step=batch.step, views=tuple(views), addresses=batch.addresses)


def to_inputs(
    batch: Batch,
    augments: Sequence[VideoAugmentConfig | None],
    seed: int,
    device: torch.device,
    lanes: Sequence[int] | None = None,
) -> BatchTensors:
    """Move a batch to the device and augment each view there, in one go.

    Args:
        batch: from the stream.
        augments: one per view of the batch; None leaves a view as it is.
        seed: the run's seed.
        device: where the objective is.
        lanes: see `augment_batch`.
    """
    return augment_batch(batch, move_batch(batch, device), augments, seed, lanes)
