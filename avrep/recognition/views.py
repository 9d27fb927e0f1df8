"""The clips and crops that a video is tested by, and those that a classifier is trained on."""

from typing import Literal

from pydantic import Field

from avrep.augment.eval_crops import CropConfig
from avrep.augment.video_config import VideoAugmentConfig
from avrep.frozen import FrozenConfig
from avrep.sampling.clips import ClipConfig, ClipForm, DenseConfig, UniformConfig
from avrep.sampling.spec import ViewSpec
from avrep.types import Geometry

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class ViewsConfig(FrozenConfig):
    """Evenly spaced clips (`avrep.sampling.clips.dense_clips`), each under fixed crops."""

    num_clips: int = Field(default=10, ge=1, le=1000)
    num_crops: Literal[1, 3] = 3
    """1: the centre. 3: both ends and the middle of the longer side."""
    short_side_px: int = Field(default=224, ge=8, le=2048)
    """To which frames are scaled before they are cropped."""
    average: Literal["probabilities", "logits"] = "probabilities"
    """What is averaged over clips and crops before the likeliest class is taken."""
    batch_size: int = Field(default=8, ge=1)
    """Videos at a time; decides memory, and nothing else."""


def crops_of(views: ViewsConfig, augment: VideoAugmentConfig) -> CropConfig:
    """The fixed crops, of the size and the pixel values that training has."""
    return CropConfig(
        short_side_px=max(views.short_side_px, augment.crop_px),
        crop_px=augment.crop_px,
        num_crops=views.num_crops,
        mean=augment.mean,
        std=augment.std,
    )


def random_clips(
    clip: ClipConfig,
    num_clips: int,
    short_side_px: int | None,
    form: ClipForm,
    *,
    one_in_each_part: bool = False,
) -> ViewSpec:
    """Clips drawn at random, for training; see `UniformConfig`."""
    sampler = UniformConfig(
        **clip.model_dump(), num_clips=num_clips, form=form, one_in_each_part=one_in_each_part
    )
    return ViewSpec(sampler=sampler, geometry=Geometry(short_side_px=short_side_px))


def even_clips(clip: ClipConfig, num_clips: int, short_side_px: int | None) -> ViewSpec:
    """Evenly spaced clips, for testing."""
    sampler = DenseConfig(**clip.model_dump(), num_clips=num_clips)
    return ViewSpec(sampler=sampler, geometry=Geometry(short_side_px=short_side_px))
