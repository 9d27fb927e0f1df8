"""SyncNet: pictures lie near the sound that goes with them, and far from it when it is shifted.

Chung, Zisserman, "Out of time: automated lip sync in the wild", ACCVW 2016. The released code,
joonson/syncnet_python, evaluates only; what training it does not tell is an avrep default.
"""

from typing import Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from avrep.losses.shift_contrast import shift_contrast, shift_distances
from avrep.models.features import Encoder
from avrep.models.heads import ProjectionHead, ProjectionHeadConfig
from avrep.models.seeded import seeded
from avrep.objectives.base import BatchTensors, LossOut, ViewTensors
from avrep.objectives.segments import Segments, SegmentsConfig
from avrep.sampling.sync import SyncConfig


class SyncnetConfig(SegmentsConfig):
    """Clips, windows, heads and loss; the defaults are the released evaluation's."""

    kind: Literal["syncnet"] = "syncnet"
    sampler: SyncConfig = SyncConfig(num_frames=50, num_offsets=1, max_offset_s=0.0, jitter_s=0.0)
    """2 s at 25 frames a second: 16 windows with 15 more on either side. avrep default; the length of
    training clips is not found."""
    segment_frames: int = Field(default=5, ge=1, le=256)
    """Frames of a window: 0.2 s."""
    hop_frames: int = Field(default=1, ge=1, le=256)
    """From one window to the next, and the unit of a shift."""
    max_shift: int = Field(default=15, ge=1, le=1000)
    """Sound is compared at shifts of up to this many windows either way."""
    short_side_px: int | None = Field(default=224, ge=8, le=4096)
    """Released: tracks of a face, 224 x 224 pixels."""
    min_crop_area: float = Field(default=1.0, gt=0, le=1)
    """avrep default: the training's augmentation is not found."""
    head: ProjectionHeadConfig = ProjectionHeadConfig(
        hidden_width=512, num_hidden=1, out_width=1024, norm_momentum=0.1
    )
    """Behind either encoder. Released: 512, then 1024 wide."""
    margin: float = Field(default=20.0, gt=0)
    """avrep default: not found; the released network's distances are about 5 for what belongs
    together and 15 for what does not."""

    @model_validator(mode="after")
    def _shifts_fit(self) -> Self:
        if self.sampler.num_offsets != 1:
            raise ValueError(
                f"sampler.num_offsets must be 1: sound is shifted within the clip, got "
                f"{self.sampler.num_offsets}"
            )
        if self.num_segments <= 2 * self.max_shift:
            raise ValueError(
                f"max_shift must be below half the {self.num_segments} windows of a clip, "
                f"got {self.max_shift}"
            )
        return self


class Syncnet(Segments):
    """A margin loss on the distances of each window's pictures from the sound at every shift.

    Only windows with sound at every shift are compared: with silence in place of what is missing, as
    the released evaluation has it, shifts that reach it would be told by it.

    Args:
        config: sizes and constants.
        video: the video encoder to train.
        audio: the audio encoder to train; it takes float[b s] at 16 kHz.
        seed: the run's seed; the heads' first weights are a function of it.
    """

    def __init__(self, config: SyncnetConfig, video: Encoder, audio: Encoder, seed: int) -> None:
        super().__init__(config, video, audio)
        self.config = config
        with seeded(seed, "syncnet"):
            self.video_head = ProjectionHead(video.width, config.head)
            self.audio_head = ProjectionHead(audio.width, config.head)

    def forward(self, batch: BatchTensors, rng: torch.Generator) -> LossOut:
        del rng  # Nothing is drawn here: every shift takes part.
        distances = self.distances(self.view_of(batch))
        with torch.no_grad():
            middle = self.config.max_shift
            over_windows = distances.mean(dim=1)
            found = over_windows.argmin(dim=1)
            metrics = {
                "offset_top1": (found == middle).float().mean(),
                "true_distance": over_windows[:, middle].mean(),
                "mean_distance": over_windows.mean(),
            }
        return LossOut(loss=shift_contrast(distances, self.config.margin), metrics=metrics)

    def distances(self, view: ViewTensors) -> Tensor:
        """float32[b m 2 * max_shift + 1], see `shift_distances`: of the windows that have sound at
        every shift.
        """
        reach = self.config.max_shift
        num_windows = self.num_segments - 2 * reach
        pictures = self.video_head(self.encode_video(view, reach, num_windows).pooled)
        sound = self.audio_head(self.encode_audio(view).pooled)
        return shift_distances(
            pictures.unflatten(0, (-1, num_windows)), sound.unflatten(0, (-1, self.num_segments))
        )

    def embed(self, view: ViewTensors) -> tuple[Tensor, Tensor]:
        """Pictures' and sound's embeddings of every window, float[b n d]."""
        pictures = self.video_head(self.encode_video(view).pooled)
        sound = self.audio_head(self.encode_audio(view).pooled)
        num = self.num_segments
        return pictures.unflatten(0, (-1, num)), sound.unflatten(0, (-1, num))
