"""Segment AVCLIP: a segment's pictures go with its own sound, not with that of another.

Iashin, Xie, Rahtu, Zisserman, "Synchformer: Efficient Synchronization from Sparse Cues", ICASSP 2024
(arXiv 2401.16423), its first stage; the released code is v-iashin/Synchformer. The curriculum is
that of AVTS: Korbar, Tran, Torresani, "Cooperative Learning of Audio and Video Models from
Self-Supervised Synchronization", NeurIPS 2018 (arXiv 1807.00230), no code of which was found.
"""

from typing import Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional

from avrep.losses.gather import gather_rows
from avrep.losses.hypersphere import alignment
from avrep.losses.segment_contrast import segment_info_nce, segment_top1
from avrep.models.features import Encoder
from avrep.models.seeded import seeded
from avrep.objectives.base import BatchTensors, LossOut, ViewTensors
from avrep.objectives.segments import Segments, SegmentsConfig
from avrep.sampling.sync import SyncConfig


class SegmentAvclipConfig(SegmentsConfig):
    """Clips, segments and loss; the defaults are Synchformer's first stage."""

    kind: Literal["segment_avclip"] = "segment_avclip"
    sampler: SyncConfig = SyncConfig(num_frames=224, num_offsets=1, max_offset_s=0.0)
    """14 segments side by side, 8.96 s, their sound up to 0.05 s early or late."""
    colour_probability: float = Field(default=0.2, ge=0, le=1)
    width: int = Field(default=768, ge=1)
    """Width of both embeddings. Released: the encoders' own, which are of one width."""
    temperature: float = Field(default=0.07, gt=0)
    """At the start; it is learned."""
    temperature_range: tuple[float, float] = (0.001, 0.5)
    """It is kept in here after each step."""
    hard_from: float = Field(default=0.0, ge=0, le=1)
    """Share of the run after which segments of the same clip begin to count as negatives. 0 and a
    `hard_at` of 0: from the start, as Synchformer; AVTS starts with easy ones, and when it changes is
    not found."""
    hard_at: float = Field(default=0.0, ge=0, le=1)
    """Share of the run after which they count in full."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.sampler.num_offsets != 1:
            raise ValueError(
                f"sampler.num_offsets must be 1: segments are shifted within the clip, got "
                f"{self.sampler.num_offsets}"
            )
        if self.hard_from > self.hard_at:
            raise ValueError(f"hard_from {self.hard_from} is above hard_at {self.hard_at}")
        low, high = self.temperature_range
        if not 0 < low <= self.temperature <= high:
            raise ValueError(
                f"temperature {self.temperature} must lie in temperature_range, {low} to {high}"
            )
        return self


class SegmentAvclip(Segments):
    """InfoNCE over the segments of all ranks' clips, in both directions.

    Negatives are gathered from all ranks; the released code takes those of a GPU alone.

    Args:
        config: sizes and constants.
        video: the video encoder to train.
        audio: the audio encoder to train; it takes float[b s] at 16 kHz.
        seed: the run's seed; the projections' first weights are a function of it.
    """

    hard_weight: Tensor

    def __init__(
        self, config: SegmentAvclipConfig, video: Encoder, audio: Encoder, seed: int
    ) -> None:
        super().__init__(config, video, audio)
        self.config = config
        with seeded(seed, "segment_avclip"):
            self.video_projection = nn.Linear(video.width, config.width)
            self.audio_projection = nn.Linear(audio.width, config.width)
        self.temperature = nn.Parameter(torch.tensor(config.temperature))
        self.register_buffer("hard_weight", torch.tensor(self._hard_weight(0.0)))

    @property
    def compares_items(self) -> bool:
        return True

    def projections(self) -> dict[str, nn.Linear]:
        return {"video": self.video_projection, "audio": self.audio_projection}

    def forward(self, batch: BatchTensors, rng: torch.Generator) -> LossOut:
        del rng  # Nothing is drawn here.
        video, audio = self.embed(self.view_of(batch))
        keys, offset = gather_rows(torch.stack([video, audio], dim=1))
        keys_video, keys_audio = keys.unbind(dim=1)
        loss = segment_info_nce(
            video,
            audio,
            keys_video,
            keys_audio,
            offset=offset,
            temperature=self.temperature,
            hard_weight=self.hard_weight,
        )
        metrics = {
            "segment_top1": segment_top1(video.detach(), audio.detach()),
            "alignment": alignment(video.detach().flatten(0, 1), audio.detach().flatten(0, 1)),
            "temperature": self.temperature.detach().clone(),
            "hard_weight": self.hard_weight.clone(),
        }
        return LossOut(loss=loss, metrics=metrics)

    def embed(self, view: ViewTensors) -> tuple[Tensor, Tensor]:
        """Pictures' and sound's embeddings of each segment, float32[b n d], vectors of length 1."""
        pictures = self.video_projection(self.encode_video(view).pooled)
        sound = self.audio_projection(self.encode_audio(view).pooled)
        video, audio = (
            functional.normalize(rows.float(), dim=1).unflatten(0, (-1, self.num_segments))
            for rows in (pictures, sound)
        )
        return video, audio

    def after_step(self, step: int, total_steps: int) -> None:
        self.hard_weight.fill_(self._hard_weight(step / total_steps))
        with torch.no_grad():
            self.temperature.clamp_(*self.config.temperature_range)

    def _hard_weight(self, done: float) -> float:
        return hard_weight(done, self.config.hard_from, self.config.hard_at)


def hard_weight(done: float, hard_from: float, hard_at: float) -> float:
    """How much a clip's other segments count as negatives: 0, then a straight line up to 1.

    Args:
        done: share of the run's steps that are done, in [0, 1].
        hard_from: where the line begins.
        hard_at: where it ends; from here on it is 1.
    """
    if done >= hard_at:
        return 1.0
    return 0.0 if done <= hard_from else (done - hard_from) / (hard_at - hard_from)
