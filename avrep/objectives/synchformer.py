"""Synchformer: by how much is the sound early or late, of 21 offsets (arXiv 2401.16423).

Iashin, Xie, Rahtu, Zisserman, "Synchformer: Efficient Synchronization from Sparse Cues", ICASSP
2024, its second stage; the released code is v-iashin/Synchformer. Its first is `segment_avclip`.
"""

from typing import Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional

from avrep.models.features import Encoder, Features
from avrep.models.seeded import seeded
from avrep.models.transformer import Transformer, TransformerConfig
from avrep.objectives.base import BatchTensors, LossOut, ViewTensors
from avrep.objectives.segments import Segments, SegmentsConfig
from avrep.sampling.sync import SyncConfig, offset_number
from avrep.transfer import to_device


class SynchformerConfig(SegmentsConfig):
    """Clips, segments and network; the defaults are the released code's."""

    kind: Literal["synchformer"] = "synchformer"
    sampler: SyncConfig = SyncConfig()
    """5 s at 25 frames a second, 21 offsets from -2 to 2 s, up to 0.05 s of jitter."""
    hop_frames: int = Field(default=8, ge=1, le=256)
    """Segments overlap by half: 14 of them in 120 of the 125 frames."""
    video_tokens: int = Field(default=8, ge=1, le=256)
    """Tokens along time of a segment's pictures; other features are averaged to as many."""
    audio_tokens: int = Field(default=6, ge=1, le=256)
    """Tokens along time of a segment's sound."""
    transformer: TransformerConfig = TransformerConfig(width=768, depth=3, num_heads=8)
    """Over the tokens of all segments, 198 with the two that mark offset and middle. Released: with a
    dropout of 0.1, which is not here, and linear layers that start from a normal of deviation 0.02."""

    @model_validator(mode="after")
    def _there_are_offsets(self) -> Self:
        if self.sampler.num_offsets < 3:
            raise ValueError(
                f"sampler.num_offsets must be 3 or more to tell apart, "
                f"got {self.sampler.num_offsets}"
            )
        return self


class Synchformer(Segments):
    """Classification of the drawn offset, by a transformer over the tokens of both encoders.

    The sequence is a token for the answer, the pictures' tokens in order of time, a token between,
    and the sound's. Each sense has a layer norm behind its projection, and each place a learned vector,
    which starts from a standard normal as the two marks do, all as released. Places that start fifty
    times smaller than what they are added to, as is usual elsewhere, left the loss at that of guessing.
    A segment's tokens are averaged over space, or frequency; the released code lets a transformer layer
    do it.

    The released second stage keeps the encoders of the first as they are: `start: {run: the run of
    segment_avclip, frozen: true}` in the run's config. There the first stage's loss is on the encoders'
    own output, here on linear projections of it. So those come along from that run if its `width` is
    `transformer.width`, and are trained on. Behind fresh ones offsets are learned too, but later: on
    synthetic videos the loss left that of guessing after 800 steps instead of 400. `joint` trains both
    losses at once.

    Args:
        config: sizes and constants.
        video: the video encoder to train.
        audio: the audio encoder to train; it takes float[b s] at 16 kHz.
        seed: the run's seed; the transformer's first weights are a function of it.
    """

    def __init__(
        self, config: SynchformerConfig, video: Encoder, audio: Encoder, seed: int
    ) -> None:
        super().__init__(config, video, audio)
        self.config = config
        width = config.transformer.width
        num_tokens = config.num_segments * (config.video_tokens + config.audio_tokens) + 2
        with seeded(seed, "synchformer"):
            self.video_projection = nn.Linear(video.width, width)
            self.audio_projection = nn.Linear(audio.width, width)
            self.video_norm = nn.LayerNorm(width)
            self.audio_norm = nn.LayerNorm(width)
            self.marks = nn.Parameter(torch.randn(2, width))
            self.positions = nn.Parameter(torch.randn(num_tokens, width))
            self.transformer = Transformer(config.transformer)
            self.classifier = nn.Linear(width, config.sampler.num_offsets)

    def projections(self) -> dict[str, nn.Linear]:
        return {"video": self.video_projection, "audio": self.audio_projection}

    def forward(self, batch: BatchTensors, rng: torch.Generator) -> LossOut:
        del rng  # Offsets are drawn by the sampler.
        view = self.view_of(batch)
        numbers = drawn_offsets(view, self.config.sampler)
        logits = self.logits(view)
        numbers = to_device(numbers, logits.device)
        with torch.no_grad():
            away = (logits.argmax(dim=1) - numbers).abs()
            metrics = {
                "offset_top1": (away == 0).float().mean(),
                "offset_within_1": (away <= 1).float().mean(),
            }
        return LossOut(loss=functional.cross_entropy(logits, numbers), metrics=metrics)

    def logits(self, view: ViewTensors) -> Tensor:
        """float32[b num_offsets]."""
        config = self.config
        pictures = over_time(self.encode_video(view), config.video_tokens)
        sound = over_time(self.encode_audio(view), config.audio_tokens)
        num_clips = len(pictures) // config.num_segments
        pictures, sound = (
            norm(projection(tokens)).unflatten(0, (num_clips, -1)).flatten(1, 2)
            for norm, projection, tokens in (
                (self.video_norm, self.video_projection, pictures),
                (self.audio_norm, self.audio_projection, sound),
            )
        )
        answer, between = (mark.expand(num_clips, 1, -1).to(sound.dtype) for mark in self.marks)
        tokens = torch.cat([answer, pictures, between, sound], dim=1) + self.positions
        return self.classifier(self.transformer(tokens)[:, 0]).float()


def over_time(features: Features, num_tokens: int) -> Tensor:
    """float[b num_tokens d]: means over height and width, then over stretches of time."""
    by_time = features.tokens.unflatten(1, (features.grid[0], -1)).mean(dim=2)
    return functional.adaptive_avg_pool1d(by_time.transpose(1, 2), num_tokens).transpose(1, 2)


def drawn_offsets(view: ViewTensors, sampler: SyncConfig) -> Tensor:
    """int64[b] on the host: the number of the offset that each clip was drawn with.

    Raises:
        ValueError: the view does not say when its pictures and its sound begin.
    """
    if view.first_frame_s is None or view.audio_start_s is None:
        raise ValueError(f"offsets want first_frame_s and audio_start_s, got {view}")
    numbers = [
        offset_number(sampler, first_s, sound_s)
        for first_s, sound_s in zip(
            view.first_frame_s.tolist(), view.audio_start_s.tolist(), strict=True
        )
    ]
    return torch.tensor(numbers)
