"""What objectives that mask a waveform encoder's frames share: input, draws, and the masked pass.

All that is drawn for a clip is a function of (seed, the clip's address, what it is for).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Self

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from avrep import rng
from avrep.frozen import FrozenConfig
from avrep.models.features import Encoder
from avrep.models.span_masks import MIN_SPANS, span_mask
from avrep.models.waveform import FRAME_SAMPLES, MIN_SAMPLES, RATE_HZ, Waveform
from avrep.objectives.base import BatchTensors, Objective
from avrep.sampling.sound import SoundConfig
from avrep.sampling.spec import ViewSpec
from avrep.transfer import to_device
from avrep.types import Address, Geometry


class MaskedSoundConfig(FrozenConfig):
    """Crops, spans and regularisation, as wav2vec 2.0 and HuBERT have them."""

    sampler: SoundConfig = SoundConfig()
    mask_probability: float = Field(gt=0, le=1)
    """Share of frames that spans would cover if none overlapped."""
    mask_length: int = Field(default=10, ge=1)
    """Frames of a span, of 20 ms."""
    penalty_weight: float = Field(default=10.0, ge=0)
    """Of the mean square of the convolutions' output; wav2vec 2.0's released large has 0."""
    feature_gradient_scale: float = Field(default=0.1, ge=0, le=1)
    """What the gradient that enters the convolutions is multiplied by; the released large has 1."""
    layer_drop: float = Field(default=0.05, ge=0, lt=1)
    """Probability that a clip skips a layer, in training. Published for the whole batch at once."""

    @model_validator(mode="after")
    def _spans_fit(self) -> Self:
        check_spans_fit(self.sampler, self.mask_length)
        return self


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskedPass:
    """What the encoder made of a batch with spans hidden. Frames past a clip's own say nothing."""

    raw: Tensor
    """float[b n c]: the convolutions' output, its gradient scaled."""
    features: Tensor
    """float[b n c]: the same behind the layer norm, nothing hidden."""
    masked: Tensor
    """bool[b n], on the host, as all that is counted is."""
    contexts: Tensor
    """float[b n d]: the transformer's output."""
    num_frames: Tensor
    """int64[b]: each clip's own."""
    share_masked: Tensor
    """bool[s n]: `masked` of all clips of the rank's share, of which the batch may be a part."""
    share_frames: Tensor
    """int64[s]: theirs."""


class MaskedSound(Objective):
    """An objective on one crop of sound of each item, whose frames are hidden by spans.

    Args:
        config: crops and spans.
        encoder: the waveform encoder to train.
        seed: the run's seed; all that is drawn for a clip is a function of it.
    """

    mask_embedding: nn.Parameter
    """float[d]: stands for a hidden frame; its first value is the method's to draw."""

    def __init__(self, config: MaskedSoundConfig, encoder: Waveform, seed: int) -> None:
        super().__init__()
        self._config = config
        self.encoder = encoder
        self.seed = seed

    def view_specs(self) -> tuple[ViewSpec, ...]:
        return (ViewSpec(sampler=self._config.sampler, geometry=Geometry(rate_hz=RATE_HZ)),)

    def augments(self) -> tuple[None, ...]:
        return (None,)

    def encoders(self) -> dict[str, Encoder]:
        return {"audio": self.encoder}

    def encode(self, batch: BatchTensors) -> MaskedPass:
        """Hide each clip's spans and run the encoder; dropout comes from torch's own generator.

        Raises:
            ValueError: see `sound_of`.
        """
        config = self._config
        audio, num_samples = sound_of(batch, type(self).__name__)
        raw, num_frames = self.encoder.convolve(audio, num_samples)
        raw = scale_gradient(raw, config.feature_gradient_scale)
        features = self.encoder.normalise(raw)
        share_frames = self._share_frames(batch, num_frames)
        share_masked = draw_masks(
            share_frames,
            raw.shape[1],
            batch.whole.addresses,
            self.seed,
            probability=config.mask_probability,
            span=config.mask_length,
        )
        masked = share_masked[batch.rows]
        states = self.encoder.contextualise(
            features,
            num_frames,
            masked=to_device(masked, raw.device),
            mask_embedding=self.mask_embedding,
            kept_layers=self._kept_layers(batch),
        )
        # For whoever watches the encoder, whose whole forward pass is not called here.
        self.encoder.pool(states[-1].detach(), num_frames)
        return MaskedPass(
            raw=raw,
            features=features,
            masked=masked,
            contexts=states[-1],
            num_frames=num_frames,
            share_masked=share_masked,
            share_frames=share_frames,
        )

    def _share_frames(self, batch: BatchTensors, own: Tensor) -> Tensor:
        """int64[s]: each clip's own frames, of all that the rank has of the step."""
        if batch.share is None:
            return own
        audio, num_samples = sound_of(batch.share, type(self).__name__)
        if num_samples is None:
            num_samples = torch.full((audio.shape[0],), audio.shape[1])
        return self.encoder.num_frames(num_samples)

    def _kept_layers(self, batch: BatchTensors) -> Tensor | None:
        if not self.training or self._config.layer_drop == 0:
            return None
        kept = draw_kept_layers(
            self.encoder.num_layers, batch.addresses, self.seed, drop=self._config.layer_drop
        )
        return to_device(kept, self.mask_embedding.device)


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
    """bool[b length]: each clip's `span_mask`, padding unmasked.

    Raises:
        ValueError: a clip is too short for two spans.
    """
    masks = np.zeros((len(addresses), length), dtype=np.bool_)
    for row, (own, address) in enumerate(zip(num_frames.tolist(), addresses, strict=True)):
        masks[row, :own] = span_mask(own, probability, span, generator_of(seed, address, Lane.MASK))
    return torch.from_numpy(masks)


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


def rows_at(features: Tensor, chosen: Tensor) -> Tensor:
    """float[m d]: of float[b n d] the frames that bool[b n], on the host, chooses, clip after clip."""
    places = chosen.flatten().nonzero()[:, 0]
    return features.flatten(0, 1).index_select(0, to_device(places, features.device))


def scale_gradient(features: Tensor, scale: float) -> Tensor:
    """The same values, to the bit; the gradient through them is multiplied by `scale`."""
    fixed = features.detach()
    return fixed + scale * (features - fixed)
