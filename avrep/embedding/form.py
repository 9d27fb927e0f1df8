"""What clips a run's encoder takes, and how they become its input: as in the run's evaluation."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, assert_never

import numpy as np
import torch
from torch import Tensor

from avrep.assemble import build_objective
from avrep.augment.eval_crops import CropConfig, crop_views
from avrep.config import RunConfig
from avrep.dense_clips import crop_config, dense_spec, encoded_frames
from avrep.errors import ConfigError, MediaError
from avrep.objectives.base import Objective
from avrep.objectives.segments import RATE_HZ
from avrep.pipeline.collate import collate
from avrep.sampling.clips import ClipConfig, DenseConfig
from avrep.sampling.sound import SoundConfig
from avrep.sampling.spec import ViewSpec, wants_audio, wants_video
from avrep.sampling.sync import SyncConfig
from avrep.sampling.windows import ItemWindow, SpacingConfig, sound_windows, video_windows
from avrep.transfer import to_device
from avrep.types import Clip, Geometry, MediaItem
from avrep.units import sample_at

Kind = Literal["video", "audio"]


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoForm:
    """Clips of pictures."""

    clip: ClipConfig
    geometry: Geometry
    crops: CropConfig

    @property
    def clip_s(self) -> float:
        """What a clip covers, at 30 frames a second where the video's own rate counts."""
        return self.clip.num_frames * self.clip.stride / (self.clip.fps or 30.0)

    def facts(self) -> dict[str, Any]:
        """As plain values: what decides a clip's input."""
        return {
            "clip": self.clip.model_dump(mode="json"),
            "short_side_px": self.geometry.short_side_px,
            "crops": self.crops.model_dump(mode="json"),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class SoundForm:
    """Clips of sound."""

    duration_s: float
    rate_hz: int

    @property
    def clip_s(self) -> float:
        return self.duration_s

    @property
    def geometry(self) -> Geometry:
        return Geometry(rate_hz=self.rate_hz)

    @property
    def num_samples(self) -> int:
        """Of a whole clip."""
        return sample_at(self.duration_s, self.rate_hz)

    def facts(self) -> dict[str, Any]:
        """As plain values: what decides a clip's input."""
        return {"duration_s": self.duration_s, "rate_hz": self.rate_hz}


ClipForm = VideoForm | SoundForm


def clip_form(config: RunConfig, objective: Objective, kind: Kind) -> ClipForm:
    """The clips of one of a run's encoders.

    Pictures are as in evaluation (`dense_spec`, `crop_config`), sound as long as what the encoder is
    trained on at a time: a training clip, or a segment of it (`encoded_frames`).

    Raises:
        ConfigError: the objective has no such clips.
    """
    for part in (objective, *objective.corpora().values()):
        for spec in part.view_specs():
            if kind == "video" and wants_video(spec):
                return _video_form(config, part)
            if kind == "audio" and wants_audio(spec):
                return _sound_form(part, spec)
    raise ConfigError(f"the run's objective trains on no {kind}; name the other encoder by --kind")


def _video_form(config: RunConfig, objective: Objective) -> VideoForm:
    dense = dense_spec(config, objective, 1)
    clip = dense.sampler
    assert isinstance(clip, DenseConfig)
    return VideoForm(
        clip=ClipConfig(num_frames=clip.num_frames, stride=clip.stride, fps=clip.fps),
        geometry=dense.geometry,
        crops=crop_config(config, objective),
    )


def _sound_form(objective: Objective, spec: ViewSpec) -> SoundForm:
    sampler = spec.sampler
    assert isinstance(sampler, SoundConfig | SyncConfig)
    if isinstance(sampler, SyncConfig):
        duration_s = encoded_frames(objective, sampler) * sampler.stride / sampler.fps
    else:
        duration_s = sampler.duration_s
    return SoundForm(duration_s=duration_s, rate_hz=spec.geometry.rate_hz or RATE_HZ)


def pick_kind(config: RunConfig, kind: Kind | None) -> Kind:
    """The encoder that is asked for; if none is, that of pictures where the run has one."""
    if kind is not None:
        return kind
    return "audio" if config.video_encoder is None else "video"


def run_form(config: RunConfig, kind: Kind) -> ClipForm:
    """`clip_form` of a run.

    Raises:
        ConfigError: the run has no such encoder.
    """
    objective = build_objective(config)
    if kind not in objective.encoders():
        there = " and ".join(sorted(objective.encoders()))
        raise ConfigError(f"the run trained no {kind} encoder, but {there}: add --kind {there}")
    return clip_form(config, objective, kind)


def windows(form: ClipForm, item: MediaItem, spacing: SpacingConfig) -> tuple[ItemWindow, ...]:
    """The windows of an item that are embedded.

    Raises:
        MediaError: the item lacks the stream, or it has no length.
    """
    match form:
        case VideoForm():
            return video_windows(item, form.clip, spacing)
        case SoundForm():
            return sound_windows(item, form.duration_s, form.rate_hz, spacing)
        case _:
            assert_never(form)


def to_inputs(form: ClipForm, clips: Sequence[Clip], device: torch.device) -> list[Tensor]:
    """What the encoder takes, a tensor for each clip.

    Args:
        form: of the encoder.
        clips: as decoded; frames may differ in size from item to item.
        device: where the encoder is.

    Returns:
        float32[num_crops 3 t h w] of pictures; float32[1 s] of sound, where s differs only from clip
        to clip that is shorter than the form says.

    Raises:
        MediaError: a clip has no such stream.
    """
    match form:
        case VideoForm():
            view = collate(clips)
            if view.video is None:
                raise MediaError("video", "no frames")
            crops = crop_views(to_device(view.video, device), view.size_px, form.crops)
            return list(crops.unbind(0))
        case SoundForm():
            return [to_device(_fitted(clip, form), device)[None] for clip in clips]
        case _:
            assert_never(form)


def _fitted(clip: Clip, form: SoundForm) -> np.ndarray:
    """The sound, of the form's length where two roundings to whole samples left it one off."""
    if clip.audio is None or len(clip.audio) == 0:
        raise MediaError("audio", "no samples")
    missing = form.num_samples - len(clip.audio)
    if abs(missing) > 1:
        return clip.audio
    return np.pad(clip.audio, (0, max(missing, 0)))[: form.num_samples]
