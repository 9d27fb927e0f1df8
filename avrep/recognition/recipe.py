"""What full fine-tuning does, as one frozen config; the published ones are in `published`."""

from typing import Literal, Self

from pydantic import Field, model_validator

from avrep.augment.mixing import MixingConfig
from avrep.augment.video_config import VideoAugmentConfig
from avrep.frozen import FrozenConfig
from avrep.models.mixed_precision import Precision
from avrep.recognition.views import ViewsConfig
from avrep.sampling.clips import ClipConfig, ClipForm
from avrep.training.optim import OptimConfig
from avrep.training.schedules import cosine_with_warmup, steps_with_warmup


def crop_and_flip(
    crop_px: int,
    *,
    area: tuple[float, float] = (0.08, 1.0),
    aspect: tuple[float, float] = (3 / 4, 4 / 3),
    flip: bool = True,
) -> VideoAugmentConfig:
    """Random resized crops and mirror images, colours as they are: what fine-tuning mostly has.

    Args:
        crop_px: side of the square frames that come out.
        area: range of the crop's share of the frame.
        aspect: range of its width by its height.
        flip: False where left and right are different classes, as in Something-Something.
    """
    return VideoAugmentConfig(
        crop_px=crop_px,
        area=area,
        aspect=aspect,
        flip_probability=0.5 if flip else 0.0,
        jitter_probability=0.0,
        gray_probability=0.0,
        blur_probability=0.0,
    )


class FinetuneRecipe(FrozenConfig):
    """How an encoder is trained on with labels, and tested.

    The defaults are avrep's own, for a small corpus on a small machine; no paper has them.
    """

    name: str = "small"
    """Whose recipe it is."""
    differs: tuple[str, ...] = ()
    """What is not as published, or was not found; told with every result."""
    clip: ClipConfig = ClipConfig(num_frames=16, stride=4)
    form: ClipForm = "looped"
    """Which frames a clip of training has."""
    short_side_px: int | None = Field(default=256, ge=8, le=4096)
    """Frames are decoded to this short side before training's crop; None: as stored."""
    augment: VideoAugmentConfig = crop_and_flip(112, area=(0.25, 1.0))
    """Of the training clips; the mean and deviation of its pixels are those of testing too."""
    draws_per_visit: int = Field(default=1, ge=1, le=64)
    """Clips of a video each time that it is decoded (repeated sampling); they count in `batch_size`."""
    mixing: MixingConfig | None = None
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    """Share of each label that is spread evenly over all classes."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Chance of each number of the pooled features to be dropped before the linear head."""
    drop_path: float = Field(default=0.0, ge=0, lt=1)
    """Chance that a clip skips a branch of a vision transformer's last block; 0 at the first."""
    head_std: float | None = Field(default=None, gt=0)
    """The head's weights start as a normal of this deviation, with bias 0; None: as torch starts a
    linear layer."""
    optim: OptimConfig = OptimConfig(name="adamw", lr=5e-4, weight_decay=0.05)
    encoder_lr_scale: float = Field(default=1.0, gt=0, le=1)
    """What the encoder's learning rate is of the head's."""
    batch_size: int = Field(default=16, gt=0)
    """Clips of a step."""
    num_epochs: int = Field(default=30, gt=0)
    warmup_epochs: float = Field(default=3, ge=0)
    schedule: Literal["cosine", "steps"] = "cosine"
    drop_epochs: tuple[float, ...] = ()
    """Of "steps": when the learning rate falls."""
    drop_factor: float = Field(default=0.1, gt=0, lt=1)
    """Of "steps": what it is multiplied by."""
    first_lr: float = Field(default=0.0, ge=0)
    final_lr: float = Field(default=0.0, ge=0)
    """Of "cosine"."""
    max_grad_norm: float | None = Field(default=None, gt=0)
    num_micro_batches: int = Field(default=1, gt=0)
    """Parts that a step is taken in, for memory; see `avrep.training.loop.TrainConfig`."""
    precision: Precision = "fp32"
    views: ViewsConfig = ViewsConfig(short_side_px=112)
    """How videos are tested."""
    choose: Literal["validation", "last"] = "validation"
    """Which epoch is tested. "validation": that which does best on train videos held out, by group,
    from all training; if nothing can be held out, the last. "last": the last, trained on all."""
    validation_fraction: float = Field(default=0.1, gt=0, lt=1)
    """Share of the train videos that is held out."""
    validate_every_epochs: int = Field(default=1, gt=0)
    """Held-out videos are asked by one clip from their middle under a central crop (avrep default)."""

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        if self.batch_size % (self.draws_per_visit * self.num_micro_batches):
            raise ValueError(
                f"batch_size is {self.batch_size}; it must be a multiple of draws_per_visit, "
                f"{self.draws_per_visit}, and of num_micro_batches, {self.num_micro_batches}"
            )
        if self.warmup_epochs > self.num_epochs:
            raise ValueError(
                f"warmup_epochs is {self.warmup_epochs:g}; it must be at most num_epochs, "
                f"{self.num_epochs}"
            )
        if self.drop_epochs and self.schedule != "steps":
            raise ValueError("drop_epochs go with schedule: steps; leave them out")
        return self

    @property
    def held_out_fraction(self) -> float | None:
        """Share of the train videos that is held out; None: none is."""
        return self.validation_fraction if self.choose == "validation" else None

    def lr_at(self, step: int, steps_per_epoch: int) -> float:
        """The learning rate of a step, from 0."""
        total = self.num_epochs * steps_per_epoch
        warmup = round(self.warmup_epochs * steps_per_epoch)
        if self.schedule == "cosine":
            return cosine_with_warmup(
                step, total, warmup, self.optim.lr, self.final_lr, self.first_lr
            )
        drops = [round(epoch * steps_per_epoch) for epoch in self.drop_epochs]
        return steps_with_warmup(
            step, total, warmup, self.optim.lr, drops, self.drop_factor, self.first_lr
        )
