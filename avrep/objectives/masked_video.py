"""What masked autoencoders of video share: hide most of a clip, encode the rest, predict the hidden."""

import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from avrep import rng as addressed
from avrep.errors import ConfigError
from avrep.losses.masked_pixels import Cube, join_cubes, masked_mse
from avrep.models.features import Encoder
from avrep.models.mae_decoder import MaeDecoder, MaeDecoderConfig
from avrep.models.masks import Mask, stacked, take_places
from avrep.models.positions import PositionKind
from avrep.models.seeded import seeded
from avrep.objectives.base import BatchTensors, LossOut
from avrep.objectives.masked_clips import MaskedClips, MaskedClipsConfig
from avrep.types import Address

_GREY = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconstruction:
    """Pictures of what a masked autoencoder makes of clips, each float32[b 3 t h w] in [0, 1]."""

    frames: Tensor
    """The frames that are predicted, as they went in."""
    seen: Tensor
    """The same, grey where hidden."""
    filled: Tensor
    """The same, with the prediction where hidden. Where targets are normalised, each prediction gets
    the mean and scale of the true cube, which the network was not asked for."""
    hidden: Tensor
    """bool[b n]: which cubes are hidden."""


class MaskedVideoConfig(MaskedClipsConfig):
    """Clips, mask and decoder of a masked autoencoder."""

    mask_ratio: float = Field(default=0.9, gt=0, lt=1)
    """Share of the tokens that are hidden."""
    normalise_targets: bool = True
    """Take out each cube's own mean and deviation."""
    decoder: MaeDecoderConfig = MaeDecoderConfig()


class MaskedVideo(MaskedClips):
    """The loss of predicting hidden cubes of pixels, and nothing that the methods differ in.

    Several clips of an item are so many views; each draws its own mask, a function of (seed, the
    clip's address, the view's number).

    Args:
        method: the objective's kind: for errors, and for the decoder's first weights.
        config: clips, mask and decoder.
        encoder: the video encoder to train, a `TubeletVit` built for the config's clips.
        seed: the run's seed; the decoder's first weights and every clip's mask are functions of it.
        num_target_frames: of a clip, evenly many for each of the encoder's places along time.
        positions: the decoder's.
        embed_bias: whether the layer from the encoder to the decoder has a bias.
        mean: of the colours, in [0, 1].
        std: of the colours.

    Raises:
        ConfigError: the encoder is another, or is built for other clips, or its tubelets do not
            hold a whole number of target frames each.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        method: str,
        config: MaskedVideoConfig,
        encoder: Encoder,
        seed: int,
        *,
        num_target_frames: int,
        positions: PositionKind,
        embed_bias: bool,
        mean: tuple[float, float, float],
        std: tuple[float, float, float],
    ) -> None:
        super().__init__(
            method, config, encoder, area=(0.5, 1.0), aspect=(0.75, 1.333), mean=mean, std=std
        )
        built = self.encoder.config
        num_times, num_frames = built.grid[0], built.num_frames
        if num_target_frames % num_times or num_target_frames > num_frames:
            raise ConfigError(
                f"objective.num_target_frames is {num_target_frames}: it must be a multiple "
                f"of {num_times}, the encoder's places along time, and at most the {num_frames} "
                f"frames of a clip"
            )
        self.cube: Cube = (num_target_frames // num_times, built.patch_px, built.patch_px)
        with seeded(seed, f"{method}.decoder"):
            self.decoder = MaeDecoder(
                config.decoder,
                encoder_width=self.encoder.width,
                grid=built.grid,
                num_values=3 * math.prod(self.cube),
                positions=positions,
                embed_bias=embed_bias,
            )
        self._seed = seed
        # Not part of a checkpoint: the method says them.
        self.register_buffer("mean", torch.tensor(mean), persistent=False)
        self.register_buffer("std", torch.tensor(std), persistent=False)

    @abstractmethod
    def draw_mask(self, draws: np.random.Generator) -> Mask:
        """One clip's mask, over the encoder's grid."""

    @abstractmethod
    def cubes(self, video: Tensor) -> Tensor:
        """The pixels to predict, float32[b n p 3], of float32[b 3 t h w] as the encoder sees it."""

    @abstractmethod
    def spread(self, cubes: Tensor) -> tuple[Tensor, Tensor]:
        """What is taken from each cube, and what it is then divided by, to make it a target."""

    @abstractmethod
    def colours(self, cubes: Tensor) -> Tensor:
        """Colours in [0, 1], of the units that `cubes` gives."""

    def forward(self, batch: BatchTensors, rng: torch.Generator) -> LossOut:
        video = self.joined_video(batch)
        kept, masked = self._draw_masks(batch.addresses, len(batch.views), video.device)
        predicted = self._predict(video, kept, masked, rng)
        with torch.no_grad():
            hidden = self._hidden_cubes(video, masked)
            mean, scale = self.spread(hidden)
            targets = ((hidden - mean) / scale).flatten(2)
            metrics = {
                "target_power": targets.square().mean(),
                "prediction_power": predicted.detach().float().square().mean(),
            }
        return LossOut(loss=masked_mse(predicted, targets), metrics=metrics)

    @torch.no_grad()
    def reconstruct(self, batch: BatchTensors) -> Reconstruction:
        """What the networks make of a batch with the masks that its loss has, for reports.

        Best in evaluation mode: while training, an encoder that drops branches refuses.

        Raises:
            ValueError: the views are not those asked for.
        """
        video = self.joined_video(batch)
        kept, masked = self._draw_masks(batch.addresses, len(batch.views), video.device)
        mean, scale = self.spread(self._hidden_cubes(video, masked))
        predicted = self._predict(video, kept, masked, None).float().unflatten(2, (-1, 3))
        cubes = self.cubes(video)
        places = masked[:, :, None, None].expand_as(predicted)
        filled = cubes.scatter(1, places, predicted * scale + mean)
        hidden = torch.zeros(cubes.shape[:2], dtype=torch.bool, device=video.device)
        hidden.scatter_(1, masked, True)
        colours = self.colours(cubes)
        return Reconstruction(
            frames=self._pictures(colours),
            seen=self._pictures(colours.masked_fill(hidden[:, :, None, None], _GREY)),
            filled=self._pictures(self.colours(filled)),
            hidden=hidden,
        )

    def _predict(
        self, video: Tensor, kept: Tensor, masked: Tensor, rng: torch.Generator | None
    ) -> Tensor:
        """float[b m v], v values of each of the m hidden cubes."""
        features = self.encoder(video, kept, rng)
        return self.decoder(features.tokens, kept, masked, features.grid)

    def _hidden_cubes(self, video: Tensor, masked: Tensor) -> Tensor:
        """float32[b m p 3]"""
        return take_places(self.cubes(video).flatten(2), masked).unflatten(2, (-1, 3))

    def _draw_masks(
        self, addresses: Sequence[Address], num_views: int, device: torch.device
    ) -> tuple[Tensor, Tensor]:
        """Kept and masked places of all clips, the first view's first."""
        stage = addressed.Stage.OBJECTIVE
        masks = [
            self.draw_mask(addressed.at(self._seed, stage, address, view))
            for view in range(num_views)
            for address in addresses
        ]
        return stacked(masks, device)

    def _pictures(self, colours: Tensor) -> Tensor:
        return join_cubes(colours.clamp(0, 1), self.encoder.config.grid, self.cube)
