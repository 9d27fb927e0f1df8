"""AudioMAE: predict the hidden patches of a spectrogram (arXiv 2207.06405).

Huang, Xu, Li, Baevski, Auli, Galuba, Metze, Feichtenhofer, "Masked Autoencoders that Listen",
NeurIPS 2022. The released code is facebookresearch/AudioMAE.
"""

from typing import Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from avrep.augment.sound import draw_roll, rolled
from avrep.frozen import FrozenConfig
from avrep.losses.masked_patches import patch_errors
from avrep.losses.masked_pixels import cube_spread
from avrep.models.masks import Mask, random_mask, take_places
from avrep.models.positions import Grid
from avrep.models.seeded import seeded
from avrep.models.spectrogram_decoder import SpectrogramDecoder, SpectrogramDecoderConfig
from avrep.models.spectrogram_vit import SpectrogramVit
from avrep.objectives.base import BatchTensors, LossOut
from avrep.objectives.masked_sound import Lane, generator_of, sound_of
from avrep.objectives.masked_spectrogram import MaskedSpectrogram
from avrep.sampling.sound import SoundConfig
from avrep.transfer import to_device


class AudiomaeConfig(FrozenConfig):
    """AudioMAE's clips, mask, target and decoder; the defaults are the released recipe's."""

    kind: Literal["audiomae"] = "audiomae"
    sampler: SoundConfig = SoundConfig(duration_s=10.255, min_s=1.0)
    """1024 frames at most, 64 patches along time. Released: the first 10.24 s, filled up with silence."""
    mask_ratio: float = Field(default=0.8, gt=0, lt=1)
    """Share of the patches that are hidden, without structure."""
    normalise_targets: bool = True
    """Take out each patch's own mean and deviation. Without it targets are the values that the encoder
    sees."""
    roll_and_gain: bool = True
    """Turn each sound round by a random time and multiply it by a random number about 1."""
    decoder: SpectrogramDecoderConfig = SpectrogramDecoderConfig()


class Audiomae(MaskedSpectrogram):
    """The mean squared error between hidden patches and what is made of the visible ones.

    A target is a patch of the spectrogram with its own mean and deviation taken out. Wanted is a
    `SpectrogramVit` with "sinusoid" positions and one class token; others are taken too.

    Args:
        config: sizes and constants.
        encoder: the encoder of spectrograms to train.
        seed: the run's seed; the decoder's first weights and every clip's draws are functions of it.

    Raises:
        ConfigError: clips are too short to be masked, or too long for the encoder.
    """

    def __init__(self, config: AudiomaeConfig, encoder: SpectrogramVit, seed: int) -> None:
        super().__init__("audiomae", encoder, config.sampler, config.mask_ratio, seed)
        self.config = config
        with seeded(seed, "audiomae.decoder"):
            self.decoder = SpectrogramDecoder(
                config.decoder,
                encoder_width=encoder.width,
                grid=encoder.config.grid,
                num_values=encoder.embed.in_features,
            )

    def draw_mask(self, grid: Grid, draws: np.random.Generator) -> Mask:
        return random_mask(grid, self.config.mask_ratio, draws)

    def forward(self, batch: BatchTensors, rng: torch.Generator) -> LossOut:
        audio, num_samples = self._sound(batch)
        encoder = self.encoder
        patches = encoder.patches(audio, num_samples)
        kept, masked = self._draw_masks(patches, batch.addresses)
        states = encoder.contextualise(encoder.embed(patches.values), patches, kept=kept, rng=rng)
        kept, masked = to_device(kept, audio.device), to_device(masked, audio.device)
        predicted = self.decoder(states[-1], kept, masked, patches.grid, patches.own)
        targets = self._targets(take_places(patches.values, masked.clamp(min=0)))
        means = self._joined_means(
            {
                "loss": patch_errors(predicted, targets),
                "target_power": targets.square().mean(dim=2),
                "prediction_power": predicted.detach().float().square().mean(dim=2),
            },
            masked >= 0,
            batch,
        )
        return LossOut(loss=means.pop("loss"), metrics={k: v.detach() for k, v in means.items()})

    def _targets(self, values: Tensor) -> Tensor:
        """float32[b m p] of the values of hidden patches."""
        if not self.config.normalise_targets:
            return values
        mean, scale = (part[..., 0] for part in cube_spread(values[..., None]))
        return (values - mean) / scale

    def _sound(self, batch: BatchTensors) -> tuple[Tensor, Tensor]:
        audio, num_samples = sound_of(batch, "AudioMAE")
        if num_samples is None:
            num_samples = torch.full((audio.shape[0],), audio.shape[1])
        if not self.config.roll_and_gain:
            return audio, num_samples
        drawn = [
            draw_roll(length, generator_of(self.seed, address, Lane.AUGMENT))
            for length, address in zip(num_samples.tolist(), batch.addresses, strict=True)
        ]
        shifts, gains = (torch.tensor(column) for column in zip(*drawn, strict=True))
        turned = (to_device(each, audio.device) for each in (num_samples, shifts, gains))
        return rolled(audio, *turned), num_samples
