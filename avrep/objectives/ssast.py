"""SSAST: tell hidden patches of a spectrogram from each other, and predict them (arXiv 2110.09784).

Gong, Lai, Chung, Glass, "SSAST: Self-Supervised Audio Spectrogram Transformer", AAAI 2022. The
released code is YuanGongND/ssast.
"""

from typing import Literal, Self

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from avrep.frozen import FrozenConfig
from avrep.losses.masked_patches import (
    clip_spread,
    patch_errors,
    patch_info_nce,
    patch_logits,
)
from avrep.models.masks import Mask, cluster_mask, random_mask, take_places
from avrep.models.positions import Grid
from avrep.models.seeded import seeded
from avrep.models.spectrogram_vit import SpectrogramVit
from avrep.objectives.base import BatchTensors, LossOut
from avrep.objectives.masked_sound import sound_of
from avrep.objectives.masked_spectrogram import MaskedSpectrogram
from avrep.sampling.sound import SoundConfig
from avrep.transfer import to_device


class SsastConfig(FrozenConfig):
    """SSAST's clips, masks and loss; the defaults are the paper's for patches of 16 x 16."""

    kind: Literal["ssast"] = "ssast"
    sampler: SoundConfig = SoundConfig(duration_s=10.255, min_s=1.0)
    """1024 frames at most, 64 patches along time. Released: the first 10.24 s, filled up with silence."""
    mask_ratio: float = Field(default=0.78125, gt=0, lt=1)
    """Share of the patches that are hidden: 400 of 512. Also released: 100 and 250."""
    cluster: tuple[int, int] | None = (3, 5)
    """Smallest and largest side, in patches, of the squares that are hidden; None: single patches, as
    the frame-wise network has."""
    generative_weight: float = Field(default=10.0, ge=0)
    """Of the generative loss beside the discriminative one."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.cluster is not None and not 1 <= self.cluster[0] <= self.cluster[1]:
            raise ValueError(f"cluster is {self.cluster}; it must be two sides, 1 <= first <= last")
        return self


class Ssast(MaskedSpectrogram):
    """InfoNCE over the hidden patches of each clip, plus a multiple of their mean squared error.

    Hidden patches are replaced by a learned token; all tokens go through the encoder, and two heads
    make a patch of each hidden one's: the first to be told by, the second to be like it. Both losses
    have the same mask and pass, as in the paper; the released code runs the encoder twice, with two
    masks. Means are over the hidden patches of all ranks.

    Wanted is a `SpectrogramVit` with "learned" positions and two class tokens; others are taken too.

    Args:
        config: sizes and constants.
        encoder: the encoder of spectrograms to train.
        seed: the run's seed; first weights and every clip's mask are functions of it.

    Raises:
        ConfigError: clips are too short to be masked, or too long for the encoder.
    """

    def __init__(self, config: SsastConfig, encoder: SpectrogramVit, seed: int) -> None:
        super().__init__("ssast", encoder, config.sampler, config.mask_ratio, seed)
        self.config = config
        with seeded(seed, "ssast.heads"):
            self.mask_embedding = nn.Parameter(torch.empty(encoder.width))
            nn.init.xavier_normal_(self.mask_embedding[None])
            self.tell = _head(encoder)
            self.rebuild = _head(encoder)

    def draw_mask(self, grid: Grid, draws: np.random.Generator) -> Mask:
        if self.config.cluster is None:
            return random_mask(grid, self.config.mask_ratio, draws)
        return cluster_mask(grid, self.config.mask_ratio, self.config.cluster, draws)

    def forward(self, batch: BatchTensors, rng: torch.Generator) -> LossOut:
        audio, num_samples = sound_of(batch, "SSAST")
        encoder = self.encoder
        patches = encoder.patches(audio, num_samples)
        _, masked = self._draw_masks(patches, batch.addresses)
        masked = to_device(masked, audio.device)
        valid, places = masked >= 0, masked.clamp(min=0)
        embedded = self._hide(encoder.embed(patches.values), masked)
        last = encoder.contextualise(embedded, patches, rng=rng)[-1]
        hidden, targets = take_places(last, places), take_places(patches.values, places)
        logits = patch_logits(self.tell(hidden), targets, valid)
        own = torch.arange(logits.shape[1], device=logits.device)
        means = self._joined_means(
            {
                "discriminative_loss": patch_info_nce(logits, valid),
                "generative_loss": patch_errors(self.rebuild(hidden), targets),
                "target_spread": clip_spread(targets, valid),
                "patch_accuracy": (logits.detach().argmax(dim=2) == own).float(),
            },
            valid,
            batch,
        )
        loss = (
            means["discriminative_loss"] + self.config.generative_weight * means["generative_loss"]
        )
        return LossOut(loss=loss, metrics={name: mean.detach() for name, mean in means.items()})

    def _hide(self, embedded: Tensor, masked: Tensor) -> Tensor:
        """float[b n d] with the learned token at masked places; int64[b m], negative: nowhere."""
        b, n, _ = embedded.shape
        hidden = torch.zeros(b, n + 1, dtype=torch.bool, device=embedded.device)
        hidden = hidden.scatter(1, masked.where(masked >= 0, n), True)[:, :n, None]
        return torch.where(hidden, self.mask_embedding.to(embedded.dtype), embedded)


def _head(encoder: SpectrogramVit) -> nn.Sequential:
    """From a token to a patch's values."""
    width = encoder.width
    return nn.Sequential(
        nn.Linear(width, width), nn.ReLU(), nn.Linear(width, encoder.embed.in_features)
    )
