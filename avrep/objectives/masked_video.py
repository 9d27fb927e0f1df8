"""What masked autoencoders of video share: hide most of a clip, encode the rest, predict the hidden."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from avrep import rng as addressed
from avrep.augment.video_config import VideoAugmentConfig
from avrep.errors import ConfigError
from avrep.losses.masked_pixels import Cube, join_cubes, masked_mse
from avrep.models.features import Encoder
from avrep.models.mae_decoder import MaeDecoder
from avrep.models.masks import Mask, stacked, take_places
from avrep.models.tubelet_vit import TubeletVit
from avrep.objectives.base import BatchTensors, LossOut, Objective
from avrep.sampling.clips import UniformConfig
from avrep.sampling.spec import ViewSpec
from avrep.types import Address, Geometry

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


class MaskedVideo(Objective):
    """The loss of predicting hidden cubes of pixels, and nothing that the methods differ in.

    Several clips of an item are so many views; each draws its own mask, a function of (seed, the
    clip's address, the view's number).

    Args:
        encoder: from `tubelet_encoder`.
        decoder: for the encoder's tokens.
        cube: frames, height and width of what a token stands for among the predicted frames.
        seed: the run's seed.
        sampler: which clips.
        short_side_px: what they are decoded to.
        augment: what happens to them.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        encoder: TubeletVit,
        decoder: MaeDecoder,
        cube: Cube,
        seed: int,
        *,
        sampler: UniformConfig,
        short_side_px: int | None,
        augment: VideoAugmentConfig,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder
        self.cube = cube
        self._seed = seed
        self._sampler = sampler
        self._geometry = Geometry(short_side_px=short_side_px)
        self._augment = augment
        # Not part of a checkpoint: the config says them.
        self.register_buffer("mean", torch.tensor(augment.mean), persistent=False)
        self.register_buffer("std", torch.tensor(augment.std), persistent=False)

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

    def view_specs(self) -> tuple[ViewSpec, ...]:
        return (ViewSpec(sampler=self._sampler, geometry=self._geometry),)

    def augments(self) -> tuple[VideoAugmentConfig, ...]:
        return (self._augment,) * self._sampler.num_clips

    def encoders(self) -> dict[str, Encoder]:
        return {"video": self.encoder}

    def forward(self, batch: BatchTensors, rng: torch.Generator) -> LossOut:
        video = self._video(batch)
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
        video = self._video(batch)
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

    def _video(self, batch: BatchTensors) -> Tensor:
        """float32[b 3 t h w]: first the first view's clips, then the next one's."""
        frames, side = self._sampler.num_frames, self._augment.crop_px
        videos = [view.video for view in batch.views if view.video is not None]
        wanted = (len(batch.addresses), 3, frames, side, side)
        if len(videos) != len(self.augments()) or any(video.shape != wanted for video in videos):
            raise ValueError(
                f"{type(self).__name__} wants {len(self.augments())} views with video "
                f"float[{', '.join(map(str, wanted))}] for {len(batch.addresses)} addresses, "
                f"got {batch.views}"
            )
        return torch.cat(videos).float()

    def _pictures(self, colours: Tensor) -> Tensor:
        return join_cubes(colours.clamp(0, 1), self.encoder.config.grid, self.cube)


def tubelet_encoder(method: str, encoder: Encoder, *, num_frames: int, crop_px: int) -> TubeletVit:
    """The encoder, if it is one that can be shown a part of a clip and is built for these clips.

    Raises:
        ConfigError: it is not.
    """
    if not isinstance(encoder, TubeletVit):
        raise ConfigError(
            f"{method} wants an encoder that takes a part of a clip; "
            f"set video_encoder.kind to tubelet_vit, not one that builds {type(encoder).__name__}"
        )
    built = encoder.config
    if (built.num_frames, built.crop_px) != (num_frames, crop_px):
        raise ConfigError(
            f"{method} gives clips of {num_frames} frames of {crop_px} pixels, but the encoder is "
            f"built for {built.num_frames} of {built.crop_px}; set video_encoder.num_frames and "
            f"video_encoder.crop_px to match objective.sampler.num_frames and objective.crop_px"
        )
    return encoder
