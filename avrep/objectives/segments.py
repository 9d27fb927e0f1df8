"""What audio-visual objectives share: a clip's pictures and sound, cut into short segments.

Each segment goes through its encoder by itself, so that no segment's features know of what comes
before or after it, and any encoder of the right kind will do.
"""

from typing import Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from avrep.augment.video_config import VideoAugmentConfig
from avrep.frozen import FrozenConfig
from avrep.models.features import Encoder, Features
from avrep.objectives.base import BatchTensors, Objective, ViewTensors
from avrep.sampling.spec import ViewSpec
from avrep.sampling.sync import SyncConfig
from avrep.types import Geometry

RATE_HZ = 16000
"""Samples a second that audio encoders take."""
ASPECT = (3 / 4, 4 / 3)
"""Least and greatest width of a crop, divided by its height."""


class SegmentsConfig(FrozenConfig):
    """Clips with their sound, and the segments that they are cut into."""

    sampler: SyncConfig
    segment_frames: int = Field(default=16, ge=1, le=256)
    """Frames of a segment; its sound lasts as long."""
    hop_frames: int = Field(default=16, ge=1, le=256)
    """From the start of one segment to that of the next."""
    short_side_px: int | None = Field(default=256, ge=8, le=4096)
    """Frames are decoded to this short side before the crop; None: as stored."""
    crop_px: int = Field(default=224, ge=8, le=1024)
    """Side of the square frames that the encoder sees."""
    min_crop_area: float = Field(default=0.4, gt=0, le=1)
    """Least share of the frame that is cropped. avrep default: what a square of 224 pixels has of a
    16:9 frame of height 256, which is what Synchformer cuts out, anywhere in the frame."""
    flip_probability: float = Field(default=0.5, ge=0, le=1)
    """Chance of a mirror image, left for right."""
    colour_probability: float = Field(default=0.0, ge=0, le=1)
    """Chance that colours change, and again that they become gray."""

    @model_validator(mode="after")
    def _a_segment_fits(self) -> Self:
        if self.segment_frames > self.sampler.num_frames:
            raise ValueError(
                f"segment_frames must be at most the {self.sampler.num_frames} frames of a clip, "
                f"got {self.segment_frames}"
            )
        return self

    @property
    def num_segments(self) -> int:
        """Whole segments in a clip."""
        return (self.sampler.num_frames - self.segment_frames) // self.hop_frames + 1


class Segments(Objective):
    """Cuts, encodes, and nothing that the methods differ in.

    Args:
        config: clips and segments.
        video: the video encoder to train.
        audio: the audio encoder to train; it takes float[b s] at 16 kHz.
    """

    items_first = True

    def __init__(self, config: SegmentsConfig, video: Encoder, audio: Encoder) -> None:
        super().__init__()
        self.video = video
        self.audio = audio
        self.segments = config

    def view_specs(self) -> tuple[ViewSpec, ...]:
        geometry = Geometry(short_side_px=self.segments.short_side_px, rate_hz=RATE_HZ)
        return (ViewSpec(sampler=self.segments.sampler, geometry=geometry),)

    def augments(self) -> tuple[VideoAugmentConfig, ...]:
        """Every frame of a clip is cropped, mirrored and coloured alike."""
        config = self.segments
        augment = VideoAugmentConfig(
            crop_px=config.crop_px,
            area=(config.min_crop_area, 1.0),
            aspect=ASPECT,
            flip_probability=config.flip_probability,
            jitter_probability=config.colour_probability,
            gray_probability=config.colour_probability,
            blur_probability=0.0,
        )
        return (augment,)

    def encoders(self) -> dict[str, Encoder]:
        return {"video": self.video, "audio": self.audio}

    def encode_video(self, view: ViewTensors, first: int = 0, num: int | None = None) -> Features:
        """The features of each segment's pictures, rows [b * num].

        Args:
            view: from `view_of`.
            first: number of the first segment.
            num: how many; None: all.
        """
        assert view.video is not None
        config = self.segments
        cut = video_segments(view.video, config.segment_frames, config.hop_frames)
        last = config.num_segments if num is None else first + num
        return self.video(cut[:, first:last].flatten(0, 1))

    def encode_audio(self, view: ViewTensors) -> Features:
        """The features of each segment's sound, rows [b * num_segments]."""
        assert view.audio is not None
        config = self.segments
        rate_hz = RATE_HZ * config.sampler.stride / config.sampler.fps
        starts = [
            round(number * config.hop_frames * rate_hz) for number in range(self.num_segments)
        ]
        cut = audio_segments(view.audio, starts, round(config.segment_frames * rate_hz))
        return self.audio(cut.flatten(0, 1))

    @property
    def num_segments(self) -> int:
        return self.segments.num_segments

    @property
    def segment_frames(self) -> int:
        """Frames of a segment: the clips that the encoders see."""
        return self.segments.segment_frames

    def view_of(self, batch: BatchTensors) -> ViewTensors:
        """The batch's one view.

        Raises:
            ValueError: it is not one view of the clips that were asked for.
        """
        sampler = self.segments.sampler
        view = batch.views[0] if len(batch.views) == 1 else None
        if (
            view is None
            or view.video is None
            or view.audio is None
            or view.video.shape[2] != sampler.num_frames
            or view.rate_hz != RATE_HZ
            # Two roundings to whole samples may make an interval one sample shorter.
            or view.audio.shape[1] < round(sampler.duration_s * RATE_HZ) - 1
        ):
            raise ValueError(
                f"segments want one view of {sampler.num_frames} frames with "
                f"{sampler.duration_s:g} s of sound at {RATE_HZ} Hz, got {batch.views}"
            )
        return view


def video_segments(video: Tensor, num_frames: int, hop: int) -> Tensor:
    """Runs of frames that start `hop` apart: [b 3 t h w] -> [b n 3 num_frames h w]."""
    return video.unfold(2, num_frames, hop).permute(0, 2, 1, 5, 3, 4)


def audio_segments(audio: Tensor, starts: list[int], length: int) -> Tensor:
    """Runs of samples: [b s] -> [b n length]. What lies past the sound's end is silence."""
    missing = max(0, starts[-1] + length - audio.shape[1])
    padded = torch.nn.functional.pad(audio, (0, missing))
    return torch.stack([padded[:, start : start + length] for start in starts], dim=1)
