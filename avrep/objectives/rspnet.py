"""RSPNet: which of two clips is as fast as a third, and which come of one video (arXiv 2011.07949).

Chen, Huang, He, Long, Zeng, Wen, Tan, Gan, "RSPNet: Relative Speed Perception for Unsupervised Video
Representation Learning", AAAI 2021. The released code is PeihaoChen/RSPNet.
"""

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from avrep.augment.video_config import VideoAugmentConfig
from avrep.frozen import FrozenConfig
from avrep.losses.gather import gather_rows
from avrep.losses.hypersphere import alignment
from avrep.losses.momentum_contrast import queue_info_nce, queue_top1
from avrep.losses.speed_ranking import speed_ranking_accuracy, speed_ranking_loss
from avrep.models.features import Encoder
from avrep.models.momentum import KeyQueue, MomentumCopy
from avrep.models.seeded import seeded
from avrep.objectives.base import BatchTensors, LossOut, Objective
from avrep.sampling.spec import ViewSpec
from avrep.sampling.speeds import SpeedsConfig
from avrep.types import Geometry

_IMAGENET_MEAN = (0.485, 0.456, 0.406)
_IMAGENET_STD = (0.229, 0.224, 0.225)


class RspnetConfig(FrozenConfig):
    """RSPNet's clips, augmentation, heads and losses; the defaults are the released code's."""

    kind: Literal["rspnet"] = "rspnet"
    sampler: SpeedsConfig = SpeedsConfig()
    """Views of 16 frames, at speed 1 and 2, of clips of 32 frames."""
    short_side_px: int | None = Field(default=256, ge=8, le=4096)
    """Frames are decoded to this short side before the crop; None: as stored. The released code
    crops what is stored, and offers to transcode that to 256 pixels of height."""
    crop_px: int = Field(default=112, ge=8, le=1024)
    """Side of the square frames that the encoder sees; 224 for S3D-G."""
    colour_strength: float = Field(default=1.0, ge=0, le=1.25)
    """1: brightness, contrast, saturation and hue change by up to 0.4; else in proportion."""
    out_width: int = Field(default=128, ge=1)
    """Width of both heads' embeddings."""
    temperature: float = Field(default=0.07, gt=0)
    """Of both losses."""
    margin: float = Field(default=2.0, ge=0)
    """By how much the key of the query's speed must be ahead, in similarities divided by the
    temperature: 0.14 in cosines. The released training sets 2, the class's own default is 1, and the
    paper's is not found."""
    appearance_weight: float = Field(default=1.0, ge=0)
    speed_weight: float = Field(default=1.0, ge=0)
    queue_size: int = Field(default=16384, ge=1)
    """Keys of earlier clips to contrast appearance with. The released code cuts it to a multiple of
    the batch; here any size does."""
    momentum: float = Field(default=0.999, ge=0, le=1)
    """Share of the key network's weights that stays at each step."""


class Rspnet(Objective):
    """Relative speed by margin ranking, and appearance by InfoNCE against a queue.

    The query goes through the encoder and two linear heads; its two keys, which are one clip at the
    query's speed and at the other, go through a momentum copy of all three. On the motion head the
    query must lie nearer to the key of its own speed. On the appearance head it must pick both keys,
    one at a time, from a queue of keys of earlier clips; as released, the queue is fed with the keys
    of the other speed.

    Copy and queue move on in `after_step` alone, with the keys of every forward in training mode
    since the last one: the micro-batches of one step meet the same queue, and each is enqueued
    once. The released code moves the copy when a forward begins and the queue when it ends, which
    for one forward a step is the same.

    Batch norm: the released code takes each GPU's own statistics, and shuffles clips over GPUs before
    the key network, so that a query cannot tell its key by what both were normalised with. Here, as in
    all objectives, statistics are those of all ranks, taken for the two keys apart: no rank's show, and
    nothing depends on how many there are, but query and keys are normalised over the same items, as
    in the released code on a single GPU.

    Args:
        config: sizes and constants.
        encoder: the video encoder to train.
        seed: the run's seed; the heads' first weights and the queue's first rows are a function of it.
    """

    def __init__(self, config: RspnetConfig, encoder: Encoder, seed: int) -> None:
        super().__init__()
        self.config = config
        with seeded(seed, "rspnet"):
            self.query_network = _TwoHeads(encoder, config.out_width)
            self.queue = KeyQueue(config.queue_size, config.out_width)
        self.key_network = MomentumCopy(self.query_network)
        self._waiting: list[Tensor] = []
        self._waiting_step = -1

    def view_specs(self) -> tuple[ViewSpec, ...]:
        geometry = Geometry(short_side_px=self.config.short_side_px)
        return (ViewSpec(sampler=self.config.sampler, geometry=geometry),)

    def augments(self) -> tuple[VideoAugmentConfig, ...]:
        """The released augmentation, in avrep's operations.

        Ranges and chances are the released ones. Operations differ as follows: the released code
        turns clips gray before it changes colours; its contrast scales distances from the clip's
        mean luma instead of each channel's mean; its saturation scales distances from each pixel's
        luma instead of S in HSV; and its resize is not antialiased.
        """
        strength = 0.4 * self.config.colour_strength
        augment = VideoAugmentConfig(
            crop_px=self.config.crop_px,
            area=(0.4, 1.0),
            aspect=(3 / 4, 4 / 3),
            flip_probability=0.5,
            jitter_probability=1.0,
            brightness=strength,
            contrast=strength,
            saturation=strength,
            hue=strength,
            gray_probability=0.2,
            blur_probability=0.0,
            mean=_IMAGENET_MEAN,
            std=_IMAGENET_STD,
        )
        return (augment,) * 3

    def augment_lanes(self) -> tuple[int, ...]:
        """Both keys alike, as released: they are views of one augmented clip."""
        return 0, 1, 1

    def encoders(self) -> dict[str, Encoder]:
        return {"video": self.query_network.encoder}

    def forward(self, batch: BatchTensors, rng: torch.Generator) -> LossOut:
        del rng  # Nothing is drawn here: speeds are the sampler's.
        config = self.config
        query, same_speed, other_speed = _videos(batch)
        # One after the other, as released: each of the two keys has batch statistics of its own.
        other_appearance, other_motion = self.key_network(other_speed)
        same_appearance, same_motion = self.key_network(same_speed)
        appearance, motion = self.query_network(query)
        positives = torch.stack([same_appearance, other_appearance], dim=1)
        appearance_loss = queue_info_nce(
            appearance, positives, self.queue.keys, temperature=config.temperature
        )
        speed_loss = speed_ranking_loss(
            motion, same_motion, other_motion, margin=config.margin, temperature=config.temperature
        )
        if self.training:
            self._wait(batch.step, other_appearance)
        with torch.no_grad():
            metrics = {
                "appearance_loss": appearance_loss.detach(),
                "appearance_top1": queue_top1(appearance, positives, self.queue.keys),
                "alignment": alignment(appearance, same_appearance),
                "speed_loss": speed_loss.detach(),
                "speed_accuracy": speed_ranking_accuracy(motion, same_motion, other_motion),
                "queue_fill": self.queue.fill(),
            }
        loss = config.appearance_weight * appearance_loss + config.speed_weight * speed_loss
        return LossOut(loss=loss, metrics=metrics)

    def restart_teachers(self) -> None:
        self.key_network.restart(self.query_network)

    def after_step(self, step: int, total_steps: int) -> None:
        del step, total_steps  # The momentum is the same at every step.
        self.key_network.update(self.query_network, self.config.momentum)
        if self._waiting:
            keys, _ = gather_rows(torch.cat(self._waiting))
            self.queue.enqueue(keys)
            self._waiting.clear()

    def _wait(self, step: int, keys: Tensor) -> None:
        if step != self._waiting_step:
            # Of a step that was given up.
            self._waiting.clear()
        self._waiting.append(keys)
        self._waiting_step = step


class _TwoHeads(nn.Module):
    """An encoder with a linear head for appearance and one for motion on its pooled features."""

    def __init__(self, encoder: Encoder, out_width: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.appearance_head = nn.Linear(encoder.width, out_width)
        self.motion_head = nn.Linear(encoder.width, out_width)

    def forward(self, video: Tensor) -> tuple[Tensor, Tensor]:
        """float32[b d] each, rows of length 1: appearance, motion."""
        pooled = self.encoder(video).pooled
        appearance, motion = self.appearance_head(pooled), self.motion_head(pooled)
        return (
            functional.normalize(appearance.float(), dim=1),
            functional.normalize(motion.float(), dim=1),
        )


def _videos(batch: BatchTensors) -> tuple[Tensor, Tensor, Tensor]:
    videos = [view.video for view in batch.views if view.video is not None]
    if len(batch.views) != 3 or len(videos) != 3 or len({video.shape for video in videos}) != 1:
        raise ValueError(f"RSPNet wants three views with video of one shape, got {batch.views}")
    query, same_speed, other_speed = videos
    return query, same_speed, other_speed
