"""What predictors of hidden parts of a clip share: whole clips, lightly augmented, and an encoder that
can be shown a part of them.
"""

import torch
from pydantic import Field
from torch import Tensor

from avrep.augment.video_config import VideoAugmentConfig
from avrep.errors import ConfigError
from avrep.frozen import FrozenConfig
from avrep.models.features import Encoder
from avrep.models.tubelet_vit import TubeletVit
from avrep.objectives.base import BatchTensors, Objective
from avrep.sampling.clips import UniformConfig
from avrep.sampling.spec import ViewSpec
from avrep.types import Geometry


class MaskedClipsConfig(FrozenConfig):
    """Which clips are masked."""

    sampler: UniformConfig = UniformConfig(num_frames=16, stride=4, form="spread")
    """A clip of 16 frames, 4 frames apart."""
    short_side_px: int | None = Field(default=256, ge=8, le=4096)
    """Frames are decoded to this short side before the crop; None: as stored."""
    crop_px: int = Field(default=224, ge=8, le=1024)
    """Side of the square frames that the encoder sees."""
    flip_probability: float = Field(default=0.5, ge=0, le=1)


class MaskedClips(Objective):
    """Clips cropped, mirrored and normalised, and a tubelet ViT built for them.

    Args:
        method: the objective's kind, for errors.
        config: which clips.
        encoder: the video encoder to train, a `TubeletVit` built for the config's clips.
        area: range of the crop's share of a frame.
        aspect: range of its width divided by its height.
        mean: of the colours, in [0, 1].
        std: of the colours.

    Raises:
        ConfigError: the encoder is another, or is built for other clips.
    """

    def __init__(
        self,
        method: str,
        config: MaskedClipsConfig,
        encoder: Encoder,
        *,
        area: tuple[float, float],
        aspect: tuple[float, float],
        mean: tuple[float, float, float],
        std: tuple[float, float, float],
    ) -> None:
        super().__init__()
        self.encoder = _tubelet_encoder(method, encoder, config)
        self._sampler = config.sampler
        self._geometry = Geometry(short_side_px=config.short_side_px)
        self._augment = VideoAugmentConfig(
            crop_px=config.crop_px,
            area=area,
            aspect=aspect,
            flip_probability=config.flip_probability,
            jitter_probability=0.0,
            gray_probability=0.0,
            blur_probability=0.0,
            mean=mean,
            std=std,
        )

    def view_specs(self) -> tuple[ViewSpec, ...]:
        return (ViewSpec(sampler=self._sampler, geometry=self._geometry),)

    def augments(self) -> tuple[VideoAugmentConfig, ...]:
        return (self._augment,) * self._sampler.num_clips

    def encoders(self) -> dict[str, Encoder]:
        return {"video": self.encoder}

    def joined_video(self, batch: BatchTensors) -> Tensor:
        """float32[b 3 t h w]: first the first view's clips, then the next one's.

        Raises:
            ValueError: the views are not those asked for.
        """
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


def _tubelet_encoder(method: str, encoder: Encoder, config: MaskedClipsConfig) -> TubeletVit:
    if not isinstance(encoder, TubeletVit):
        raise ConfigError(
            f"{method} wants an encoder that takes a part of a clip; "
            f"set video_encoder.kind to tubelet_vit, not one that builds {type(encoder).__name__}"
        )
    built, num_frames = encoder.config, config.sampler.num_frames
    if (built.num_frames, built.crop_px) != (num_frames, config.crop_px):
        raise ConfigError(
            f"{method} gives clips of {num_frames} frames of {config.crop_px} pixels, but the "
            f"encoder is built for {built.num_frames} of {built.crop_px}; set "
            f"video_encoder.num_frames and video_encoder.crop_px to match "
            f"objective.sampler.num_frames and objective.crop_px"
        )
    return encoder
