"""Small audio-visual objectives and batches that their tests share."""

import torch

from avrep.models.audio_conv import AudioConvConfig, build_audio_conv
from avrep.models.features import Encoder, Features
from avrep.models.heads import ProjectionHeadConfig
from avrep.models.transformer import TransformerConfig
from avrep.models.video_conv import VideoConvConfig, build_video_conv
from avrep.objectives.base import BatchTensors, LossOut, ViewTensors
from avrep.objectives.segment_avclip import SegmentAvclip, SegmentAvclipConfig
from avrep.objectives.segments import Segments, SegmentsConfig
from avrep.objectives.synchformer import Synchformer, SynchformerConfig
from avrep.objectives.syncnet import Syncnet, SyncnetConfig
from avrep.sampling.sync import SyncConfig
from avrep.types import Address

PX = 32


def encoders(seed: int = 0) -> tuple[Encoder, Encoder]:
    return (
        build_video_conv(VideoConvConfig(arch="r3d_18_fast", base_width=4), seed),
        build_audio_conv(AudioConvConfig(base_width=4, num_bins=16), seed),
    )


def segment_avclip(seed: int = 0) -> SegmentAvclip:
    config = SegmentAvclipConfig(
        sampler=SyncConfig(num_frames=8, num_offsets=1, max_offset_s=0.0),
        segment_frames=4,
        hop_frames=4,
        crop_px=PX,
        width=8,
        hard_from=0.2,
        hard_at=0.6,
    )
    return SegmentAvclip(config, *encoders(seed), seed)


def synchformer(seed: int = 0) -> Synchformer:
    config = SynchformerConfig(
        sampler=SyncConfig(num_frames=8, num_offsets=5, max_offset_s=0.4),
        segment_frames=4,
        hop_frames=2,
        crop_px=PX,
        transformer=TransformerConfig(width=16, depth=1, num_heads=2),
    )
    return Synchformer(config, *encoders(seed), seed)


def syncnet(seed: int = 0) -> Syncnet:
    config = SyncnetConfig(
        sampler=SyncConfig(num_frames=9, num_offsets=1, max_offset_s=0.0, jitter_s=0.0),
        max_shift=2,
        crop_px=PX,
        head=ProjectionHeadConfig(hidden_width=16, num_hidden=1, out_width=8),
        margin=5.0,
    )
    return Syncnet(config, *encoders(seed), seed)


def batch(objective: Segments, num_clips: int = 4) -> BatchTensors:
    """Noise of the wanted form; clip i's sound starts 0.4 - 0.2 * i s before its pictures."""
    generator = torch.Generator().manual_seed(7)
    sampler = objective.view_specs()[0].sampler
    assert isinstance(sampler, SyncConfig)
    num_samples = round(16000 * sampler.duration_s)
    view = ViewTensors(
        video=torch.randn(num_clips, 3, sampler.num_frames, PX, PX, generator=generator),
        pts_s=torch.zeros(num_clips, sampler.num_frames, dtype=torch.float64),
        audio=0.1 * torch.randn(num_clips, num_samples, generator=generator),
        audio_start_s=1.6 + 0.2 * torch.arange(num_clips, dtype=torch.float64),
        first_frame_s=torch.full((num_clips,), 2.02, dtype=torch.float64),
        rate_hz=16000,
    )
    addresses = tuple(Address(0, row) for row in range(num_clips))
    return BatchTensors(step=0, views=(view,), addresses=addresses)


class Clock(Segments):
    """Its sound's features are the mean of the samples."""

    def __init__(self, config: SegmentsConfig) -> None:
        super().__init__(config, encoders()[0], _Mean(1))

    def forward(self, batch: BatchTensors, rng: torch.Generator) -> LossOut:
        raise NotImplementedError


class _Mean(Encoder):
    def forward(self, clips: torch.Tensor, /) -> Features:
        pooled = clips.mean(dim=1, keepdim=True)
        return Features(tokens=pooled[:, None], grid=(1, 1, 1), pooled=pooled)


def view_of_sound(audio: torch.Tensor) -> ViewTensors:
    pts_s = torch.zeros(len(audio), 0, dtype=torch.float64)
    return ViewTensors(video=None, pts_s=pts_s, audio=audio, rate_hz=16000)
