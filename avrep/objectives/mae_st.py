"""MAE-ST: predict hidden pixels of space and time alike (arXiv 2205.09113).

Feichtenhofer, Fan, Li, He, "Masked Autoencoders As Spatiotemporal Learners", NeurIPS 2022. The
released code is facebookresearch/mae_st.
"""

from typing import Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from avrep.losses.masked_pixels import cube_spread, cut_cubes
from avrep.models.features import Encoder
from avrep.models.mae_decoder import MaeDecoderConfig
from avrep.models.masks import Mask, random_mask
from avrep.objectives.masked_video import MaskedVideo, MaskedVideoConfig
from avrep.sampling.clips import UniformConfig


class MaeStConfig(MaskedVideoConfig):
    """MAE-ST's clips, mask, target and decoder; the defaults are the released recipe's.

    The recipe decodes a video once for four clips: `data.draws_per_visit: 4`.
    """

    kind: Literal["mae_st"] = "mae_st"
    sampler: UniformConfig = UniformConfig(num_frames=16, stride=4, fps=30, form="spread")
    """A clip of 16 frames, 4 frames apart at 30 frames a second."""
    short_side_px: int | None = Field(default=256, ge=8, le=4096)
    """Frames are decoded to this short side before the crop; None: as stored. The released code
    draws it from [256, 320], which a crop by area mostly undoes."""
    num_target_frames: int = Field(default=8, ge=1, le=4096)
    """Frames that are predicted, evenly spread from a clip's first to its last, rounded down: 0, 2,
    4, 6, 8, 10, 12 and 15 of 16. The models trained on SAYCam predict all 16."""
    normalise_targets: bool = True
    """Take out each patch's own mean and deviation. Not so for SAYCam, nor for pretty pictures."""
    decoder: MaeDecoderConfig = MaeDecoderConfig(width=512, depth=4, num_heads=16)


class MaeSt(MaskedVideo):
    """The mean squared error between hidden patches and what is made of the visible tokens.

    A token stands for a tubelet of the clip, but predicts its patch of the target frames only. The
    target is the patch as the encoder would see it, all its values with one mean and deviation
    taken out. Wanted is a `TubeletVit` with "learned" positions; others are taken too. The decoder
    has learned positions of its own.

    What is not as published: no class token, in the encoder or the decoder, since no loss is put on
    it and the clip's vector is the mean of the other tokens in MAE-ST's fine-tuning too; attention
    without key biases, which is the same function; first weights of the tubelets' convolution, the
    attention's projections and the mask token as VideoMAE's.

    Args:
        config: sizes and constants.
        encoder: the video encoder to train, a `TubeletVit` built for the config's clips.
        seed: the run's seed; the decoder's first weights and every clip's mask are functions of it.

    Raises:
        ConfigError: the encoder is another, or is built for other clips, or its tubelets do not
            hold a whole number of target frames each.
    """

    target_frames: Tensor

    def __init__(self, config: MaeStConfig, encoder: Encoder, seed: int) -> None:
        super().__init__(
            "mae_st",
            config,
            encoder,
            seed,
            num_target_frames=config.num_target_frames,
            positions="learned",
            embed_bias=True,
            mean=(0.45, 0.45, 0.45),
            std=(0.225, 0.225, 0.225),
        )
        self.config = config
        steps = torch.arange(config.num_target_frames) * (config.sampler.num_frames - 1)
        frames = steps // max(config.num_target_frames - 1, 1)
        self.register_buffer("target_frames", frames, persistent=False)

    def draw_mask(self, draws: np.random.Generator) -> Mask:
        return random_mask(self.encoder.config.grid, self.config.mask_ratio, draws)

    def cubes(self, video: Tensor) -> Tensor:
        return cut_cubes(video.index_select(2, self.target_frames), self.cube)

    def spread(self, cubes: Tensor) -> tuple[Tensor, Tensor]:
        if self.config.normalise_targets:
            return cube_spread(cubes)
        return cubes.new_zeros(()), cubes.new_ones(())

    def colours(self, cubes: Tensor) -> Tensor:
        return cubes * self.std + self.mean
