"""VideoMAE: predict the pixels of hidden tubes (arXiv 2203.12602).

Tong, Song, Wang, Wang, "VideoMAE: Masked Autoencoders are Data-Efficient Learners for
Self-Supervised Video Pre-Training", NeurIPS 2022. The released code is MCG-NJU/VideoMAE.
"""

from typing import Literal

import numpy as np
from pydantic import Field
from torch import Tensor

from avrep.losses.masked_pixels import channel_spread, cut_cubes
from avrep.models.features import Encoder
from avrep.models.mae_decoder import MaeDecoderConfig
from avrep.models.masks import Mask, tube_mask
from avrep.objectives.masked_video import MaskedVideo, MaskedVideoConfig
from avrep.sampling.clips import UniformConfig


class VideomaeConfig(MaskedVideoConfig):
    """VideoMAE's clips, mask and decoder; the defaults are the paper's for ViT-B on Kinetics-400."""

    kind: Literal["videomae"] = "videomae"
    sampler: UniformConfig = UniformConfig(num_frames=16, stride=4, form="held")
    """A clip of 16 frames at stride 4; Something-Something and HMDB51 have stride 2."""
    short_side_px: int | None = Field(default=320, ge=8, le=4096)
    """Frames are decoded to this short side before the crop; None: as stored. The released code takes
    what is stored, and its videos of Kinetics are stored like this."""
    flip_probability: float = Field(default=0.5, ge=0, le=1)
    """Paper: clips of Kinetics are mirrored, those of Something-Something are not. The released
    pretraining mirrors none."""
    mask_ratio: float = Field(default=0.9, gt=0, lt=1)
    """Share of the tubes that are hidden; 0.75 on UCF101 and HMDB51."""
    normalise_targets: bool = True
    """Take out each cube's own mean and deviation, channel by channel; a switch of the released code.
    Without it targets are colours in [0, 1], of which the first part, the mean, is soon learnt."""
    decoder: MaeDecoderConfig = MaeDecoderConfig()
    """384-d, 4 blocks, 6 heads. For other encoders half their width: 192-d with 3 heads, 512-d with
    8, 640-d with 8."""


class Videomae(MaskedVideo):
    """The mean squared error between hidden cubes and what is made of the visible tokens.

    A target is a cube's pixels in [0, 1], each channel with its own mean and deviation taken out.
    Wanted is a `TubeletVit` with "sinusoid" positions; others are taken too.

    One thing is not as published. The paper's MultiScaleCrop, whose sides are one of 1, 0.875, 0.75
    and 0.66 of the short side at one of 13 places, is here a crop of uniform place with an area in
    [0.5, 1] and an aspect in [0.75, 1.333], as in MAE-ST.

    Args:
        config: sizes and constants.
        encoder: the video encoder to train, a `TubeletVit` built for the config's clips.
        seed: the run's seed; the decoder's first weights and every clip's mask are functions of it.

    Raises:
        ConfigError: the encoder is another, or is built for other clips.
    """

    def __init__(self, config: VideomaeConfig, encoder: Encoder, seed: int) -> None:
        super().__init__(
            "videomae",
            config,
            encoder,
            seed,
            num_target_frames=config.sampler.num_frames,
            positions="sinusoid",
            embed_bias=False,
            mean=(0.485, 0.456, 0.406),
            std=(0.229, 0.224, 0.225),
        )
        self.config = config

    def draw_mask(self, draws: np.random.Generator) -> Mask:
        return tube_mask(self.encoder.config.grid, self.config.mask_ratio, draws)

    def cubes(self, video: Tensor) -> Tensor:
        return cut_cubes(video, self.cube) * self.std + self.mean

    def spread(self, cubes: Tensor) -> tuple[Tensor, Tensor]:
        if self.config.normalise_targets:
            return channel_spread(cubes)
        return cubes.new_zeros(()), cubes.new_ones(())

    def colours(self, cubes: Tensor) -> Tensor:
        return cubes
