"""Clips of noise in the form that an objective asks for: what a step costs, it costs with them too."""

from dataclasses import replace

import torch

from avrep.objectives.base import BatchTensors, Objective, ViewTensors
from avrep.sampling.spec import (
    ViewSpec,
    num_frames_in_view,
    num_views,
    sound_in_view_s,
    wants_audio,
)
from avrep.types import Address


def random_batch(objective: Objective, num_items: int, *, seed: int = 0) -> BatchTensors:
    """A batch of step 3, on the CPU; all clips of sound are as long as they may be.

    Args:
        objective: says what views it wants.
        num_items: rows of each view.
        seed: of the noise.
    """
    generator = torch.Generator().manual_seed(seed)
    specs = [spec for spec in objective.view_specs() for _ in range(num_views(spec))]
    views = tuple(
        _view(spec, None if augment is None else augment.crop_px, num_items, generator)
        for spec, augment in zip(specs, objective.augments(), strict=True)
    )
    addresses = tuple(Address(0, row) for row in range(num_items))
    return BatchTensors(step=3, views=views, addresses=addresses)


def on_device(batch: BatchTensors, device: torch.device) -> BatchTensors:
    """The same batch with its pictures and sounds there, as `avrep.training.inputs.move_batch` has it."""

    def moved(view: ViewTensors) -> ViewTensors:
        video = None if view.video is None else view.video.to(device)
        audio = None if view.audio is None else view.audio.to(device)
        return replace(view, video=video, audio=audio)

    return replace(batch, views=tuple(moved(view) for view in batch.views))


def _view(
    spec: ViewSpec, crop_px: int | None, num_items: int, generator: torch.Generator
) -> ViewTensors:
    num_frames = num_frames_in_view(spec)
    video = audio = None
    if crop_px is not None:
        video = torch.randn(num_items, 3, num_frames, crop_px, crop_px, generator=generator)
    if wants_audio(spec):
        num_samples = round(sound_in_view_s(spec) * 16_000)
        audio = 0.1 * torch.randn(num_items, num_samples, generator=generator)
    return ViewTensors(
        video=video,
        pts_s=torch.arange(num_frames, dtype=torch.float64).repeat(num_items, 1) / 25,
        audio=audio,
        rate_hz=16_000 if wants_audio(spec) else 0,
        first_frame_s=torch.full((num_items,), 2.0, dtype=torch.float64),
        audio_start_s=1.6 + 0.2 * torch.arange(num_items, dtype=torch.float64),
    )
