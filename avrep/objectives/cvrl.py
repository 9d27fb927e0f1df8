"""CVRL: two clips of a video are alike, clips of other videos are not (arXiv 2008.03800).

Qian, Meng, Gong, Yang, Wang, Belongie, Cui, "Spatiotemporal Contrastive Video Representation
Learning", CVPR 2021. The released code is tensorflow/models, official/projects/video_ssl.
"""

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from avrep.augment.video_config import VideoAugmentConfig, cvrl_view
from avrep.frozen import FrozenConfig
from avrep.losses.contrastive import top1_accuracy, two_view_info_nce
from avrep.losses.gather import gather_rows
from avrep.losses.hypersphere import alignment
from avrep.models.features import Encoder
from avrep.models.heads import ProjectionHead, ProjectionHeadConfig
from avrep.models.seeded import seeded
from avrep.objectives.base import BatchTensors, LossOut, Objective
from avrep.sampling.pairs import PairConfig
from avrep.sampling.spec import ViewSpec
from avrep.types import Geometry


class CvrlConfig(FrozenConfig):
    """CVRL's clips, augmentation, head and loss; the defaults are the paper's."""

    kind: Literal["cvrl"] = "cvrl"
    sampler: PairConfig = PairConfig()
    """Two clips of 16 frames at stride 2, their distance drawn from a falling line."""
    short_side_px: int | None = Field(default=256, ge=8, le=4096)
    """Frames are decoded to this short side before the crop; None: as stored. avrep default: the
    released code crops what its records hold, and their size is not found."""
    crop_px: int = Field(default=224, ge=8, le=1024)
    """Side of the square frames that the encoder sees."""
    colour_strength: float = Field(default=1.0, ge=0, le=1.25)
    """1: brightness, contrast and saturation change by up to 0.8 and hue by 0.2; else in
    proportion."""
    temperature: float = Field(default=0.1, gt=0)
    head: ProjectionHeadConfig = ProjectionHeadConfig()


class Cvrl(Objective):
    """InfoNCE between two views of each clip, over the batch of all ranks.

    Both views go through the encoder as one batch, as in the released code, so that batch norm
    averages over both; over all ranks too, as its yaml has it (sync BN).

    Args:
        config: sizes and constants.
        encoder: the video encoder to train.
        seed: the run's seed; the projection head's first weights are a function of it.
    """

    def __init__(self, config: CvrlConfig, encoder: Encoder, seed: int) -> None:
        super().__init__()
        self.config = config
        self.encoder = encoder
        with seeded(seed, "cvrl.head"):
            self.head = ProjectionHead(encoder.width, config.head)

    def view_specs(self) -> tuple[ViewSpec, ...]:
        geometry = Geometry(short_side_px=self.config.short_side_px)
        return (ViewSpec(sampler=self.config.sampler, geometry=geometry),)

    def augments(self) -> tuple[VideoAugmentConfig, ...]:
        return tuple(
            _scale_colour(cvrl_view(view, self.config.crop_px), self.config.colour_strength)
            for view in (1, 2)
        )

    @property
    def compares_items(self) -> bool:
        return True

    def encoders(self) -> dict[str, Encoder]:
        return {"video": self.encoder}

    def forward(self, batch: BatchTensors, rng: torch.Generator) -> LossOut:
        del rng  # Nothing is drawn here: CVRL's randomness is all in its clips.
        z = self._embed(batch)
        z_a, z_b = z.chunk(2)
        # One exchange for both views.
        keys, offset = gather_rows(torch.stack([z_a, z_b], dim=1))
        keys_a, keys_b = keys.unbind(dim=1)
        loss = two_view_info_nce(
            z_a, z_b, keys_a, keys_b, offset=offset, temperature=self.config.temperature
        )
        with torch.no_grad():
            a_to_b = top1_accuracy(z_a, keys_b, offset=offset)
            b_to_a = top1_accuracy(z_b, keys_a, offset=offset)
            metrics = {
                "contrastive_top1": (a_to_b + b_to_a) / 2,
                "positive_cosine": (z_a * z_b).sum(dim=1).mean(),
                "alignment": alignment(z_a, z_b),
            }
        return LossOut(loss=loss, metrics=metrics)

    def _embed(self, batch: BatchTensors) -> Tensor:
        """float32[2b d], rows of length 1: first the first view's clips, then the second's."""
        videos = [view.video for view in batch.views if view.video is not None]
        if len(batch.views) != 2 or len(videos) != 2 or videos[0].shape != videos[1].shape:
            raise ValueError(f"CVRL wants two views with video of one shape, got {batch.views}")
        pooled = self.encoder(torch.cat(videos)).pooled
        return functional.normalize(self.head(pooled).float(), dim=1)


def _scale_colour(augment: VideoAugmentConfig, strength: float) -> VideoAugmentConfig:
    return augment.model_copy(
        update={
            "brightness": strength * augment.brightness,
            "contrast": strength * augment.contrast,
            "saturation": strength * augment.saturation,
            "hue": strength * augment.hue,
        }
    )
