"""What objectives that mask a waveform encoder's frames share: their input and their draws.

All that is drawn for a clip is a function of (seed, the clip's address, what it is for).
"""

from collections.abc import Sequence
from enum import IntEnum

import numpy as np
import torch
from torch import Tensor

from avrep import rng
from avrep.models.span_masks import MIN_SPANS, span_mask
from avrep.models.waveform import FRAME_SAMPLES, MIN_SAMPLES, RATE_HZ
from avrep.objectives.base import BatchTensors
from avrep.sampling.sound import SoundConfig
from avrep.types import Address


class Lane(IntEnum):
    """What a clip's draw is for. Numbers are part of every run's meaning: never reorder."""

    MASK = 0
    LAYERS = 1
    DISTRACTORS = 2
    GUMBEL = 3
    AUGMENT = 4


def generator_of(seed: int, address: Address, lane: Lane) -> np.random.Generator:
    return rng.at(seed, rng.Stage.OBJECTIVE, address, lane)


def check_spans_fit(sampler: SoundConfig, mask_length: int) -> None:
    """Refuses spans that the shortest clip cannot hold, before a run meets one.

    Raises:
        ValueError: saying how long clips must be.
    """
    least = (mask_length + MIN_SPANS - 1) * FRAME_SAMPLES + MIN_SAMPLES
    if sampler.min_s * RATE_HZ < least:
        raise ValueError(
            f"spans of {mask_length} frames need clips of {least / RATE_HZ:g} s; "
            f"sampler.min_s is {sampler.min_s:g}"
        )


def sound_of(batch: BatchTensors, method: str) -> tuple[Tensor, Tensor | None]:
    """The batch's sound float32[b s] and its `num_samples`.

    Raises:
        ValueError: it is not one view with sound at 16 kHz, or rows have no addresses.
    """
    audio = batch.views[0].audio if len(batch.views) == 1 else None
    if audio is None or batch.views[0].rate_hz != RATE_HZ:
        raise ValueError(f"{method} wants one view with sound at {RATE_HZ} Hz, got {batch.views}")
    if len(batch.addresses) != audio.shape[0]:
        raise ValueError(
            f"{method} draws by address: {audio.shape[0]} rows came with "
            f"{len(batch.addresses)} addresses"
        )
    return audio, batch.views[0].num_samples


def draw_masks(
    num_frames: Tensor,
    length: int,
    addresses: Sequence[Address],
    seed: int,
    *,
    probability: float,
    span: int,
) -> Tensor:
    """bool[b length] on the device of `num_frames`: each clip's `span_mask`, padding unmasked.

    Raises:
        ValueError: a clip is too short for two spans.
    """
    masks = np.zeros((len(addresses), length), dtype=np.bool_)
    for row, (own, address) in enumerate(zip(num_frames.tolist(), addresses, strict=True)):
        masks[row, :own] = span_mask(own, probability, span, generator_of(seed, address, Lane.MASK))
    return torch.from_numpy(masks).to(num_frames.device)


def draw_kept_layers(
    num_layers: int, addresses: Sequence[Address], seed: int, *, drop: float
) -> np.ndarray:
    """bool[b layers]: each layer is skipped with probability `drop`, for each clip by itself."""
    return np.stack(
        [
            generator_of(seed, address, Lane.LAYERS).random(num_layers) >= drop
            for address in addresses
        ]
    )


def scale_gradient(features: Tensor, scale: float) -> Tensor:
    """The same values, to the bit; the gradient through them is multiplied by `scale`."""
    fixed = features.detach()
    return fixed + scale * (features - fixed)
