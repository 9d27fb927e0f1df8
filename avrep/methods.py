"""Which encoders and objectives there are: what a config may name, and how that is built."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, assert_never

from pydantic import Field

from avrep.errors import ConfigError
from avrep.frozen import FrozenConfig
from avrep.models.audio_conv import AudioConvConfig, build_audio_conv
from avrep.models.features import Encoder
from avrep.models.spectrogram_vit import (
    SpectrogramVit,
    SpectrogramVitConfig,
    build_spectrogram_vit,
)
from avrep.models.tubelet_vit import TubeletVitConfig, build_tubelet_vit
from avrep.models.video_conv import VideoConvConfig, build_video_conv
from avrep.models.waveform import Waveform, WaveformConfig, build_waveform
from avrep.objectives.audiomae import Audiomae, AudiomaeConfig
from avrep.objectives.base import Objective
from avrep.objectives.cvrl import Cvrl, CvrlConfig
from avrep.objectives.hubert import Hubert, HubertConfig
from avrep.objectives.joint import Joint
from avrep.objectives.mae_st import MaeSt, MaeStConfig
from avrep.objectives.rspnet import Rspnet, RspnetConfig
from avrep.objectives.segment_avclip import SegmentAvclip, SegmentAvclipConfig
from avrep.objectives.ssast import Ssast, SsastConfig
from avrep.objectives.stored_labels import StoredLabels
from avrep.objectives.synchformer import Synchformer, SynchformerConfig
from avrep.objectives.syncnet import Syncnet, SyncnetConfig
from avrep.objectives.videomae import Videomae, VideomaeConfig
from avrep.objectives.vjepa import Vjepa, VjepaConfig
from avrep.objectives.wav2vec2 import Wav2vec2, Wav2vec2Config

VideoEncoderConfig = Annotated[VideoConvConfig | TubeletVitConfig, Field(discriminator="kind")]
AudioEncoderConfig = Annotated[
    WaveformConfig | SpectrogramVitConfig | AudioConvConfig, Field(discriminator="kind")
]
SingleObjectiveConfig = Annotated[
    CvrlConfig
    | RspnetConfig
    | VideomaeConfig
    | MaeStConfig
    | VjepaConfig
    | Wav2vec2Config
    | HubertConfig
    | AudiomaeConfig
    | SsastConfig
    | SegmentAvclipConfig
    | SynchformerConfig
    | SyncnetConfig,
    Field(discriminator="kind"),
]


class PartConfig(FrozenConfig):
    """One objective of several."""

    weight: float = Field(default=1.0, ge=0)
    """Of its loss in the sum."""
    corpus: str | None = None
    """Which of `corpora` it trains on; None: on `data`."""
    objective: SingleObjectiveConfig


class JointConfig(FrozenConfig):
    """Several objectives on the same encoders and items: the loss is their weighted sum."""

    kind: Literal["joint"] = "joint"
    parts: dict[Annotated[str, Field(pattern="^[a-z][a-z0-9_]*$")], PartConfig] = Field(
        min_length=2
    )
    """By name, which stands before the names of its metrics."""


def build_encoder(config: VideoEncoderConfig | AudioEncoderConfig, seed: int) -> Encoder:
    """The encoder with fresh weights, a function of (config, seed)."""
    match config:
        case VideoConvConfig():
            return build_video_conv(config, seed)
        case TubeletVitConfig():
            return build_tubelet_vit(config, seed)
        case WaveformConfig():
            return build_waveform(config, seed)
        case AudioConvConfig():
            return build_audio_conv(config, seed)
        case SpectrogramVitConfig():
            return build_spectrogram_vit(config, seed)
        case _:
            assert_never(config)


def build_on(
    config: SingleObjectiveConfig | JointConfig, encoders: Mapping[str, Encoder], seed: int
) -> Objective:
    """The objective on the encoders that a run has.

    Args:
        config: which objective.
        encoders: "video", "audio", as far as there are.
        seed: the run's seed.

    Raises:
        ConfigError: it needs an encoder that is not there, or of another kind.
    """
    match config:
        case CvrlConfig():
            return Cvrl(config, _video(encoders, config.kind), seed)
        case RspnetConfig():
            return Rspnet(config, _video(encoders, config.kind), seed)
        case VideomaeConfig():
            return Videomae(config, _video(encoders, config.kind), seed)
        case MaeStConfig():
            return MaeSt(config, _video(encoders, config.kind), seed)
        case VjepaConfig():
            return Vjepa(config, _video(encoders, config.kind), seed)
        case Wav2vec2Config():
            return Wav2vec2(config, _waveform(encoders, config.kind), seed)
        case SegmentAvclipConfig():
            return SegmentAvclip(config, *_both(encoders, config.kind), seed)
        case SynchformerConfig():
            return Synchformer(config, *_both(encoders, config.kind), seed)
        case SyncnetConfig():
            return Syncnet(config, *_both(encoders, config.kind), seed)
        case HubertConfig():
            labels = StoredLabels(config.labels, config.num_classes, config.label_rate_hz)
            return Hubert(config, _waveform(encoders, config.kind), labels, seed)
        case AudiomaeConfig():
            return Audiomae(config, _spectrogram(encoders, config.kind), seed)
        case SsastConfig():
            return Ssast(config, _spectrogram(encoders, config.kind), seed)
        case JointConfig():
            return _build_joint(config.parts, encoders, seed)
        case _:
            assert_never(config)


def _build_joint(
    parts: Mapping[str, PartConfig], encoders: Mapping[str, Encoder], seed: int
) -> Joint:
    def on_corpus(corpus: str | None, corpora: Mapping[str, Joint] | None = None) -> Joint:
        chosen = {name: part for name, part in parts.items() if part.corpus == corpus}
        built = {name: build_on(part.objective, encoders, seed) for name, part in chosen.items()}
        return Joint(built, [part.weight for part in chosen.values()], corpora)

    further = dict.fromkeys(part.corpus for part in parts.values() if part.corpus is not None)
    return on_corpus(None, {corpus: on_corpus(corpus) for corpus in further})


def found_from_anywhere(
    config: SingleObjectiveConfig | JointConfig,
) -> SingleObjectiveConfig | JointConfig:
    """The config with absolute paths."""
    match config:
        case HubertConfig():
            return config.model_copy(update={"labels": str(Path(config.labels).resolve())})
        case JointConfig():
            parts = {
                name: part.model_copy(update={"objective": found_from_anywhere(part.objective)})
                for name, part in config.parts.items()
            }
            return config.model_copy(update={"parts": parts})
        case _:
            return config


def _video(encoders: Mapping[str, Encoder], method: str) -> Encoder:
    if "video" not in encoders:
        raise ConfigError(f"{method} trains a video encoder; add video_encoder: {{kind: ...}}")
    return encoders["video"]


def _both(encoders: Mapping[str, Encoder], method: str) -> tuple[Encoder, Encoder]:
    video = _video(encoders, method)
    if "audio" not in encoders:
        raise ConfigError(f"{method} trains an audio encoder too; add audio_encoder: {{kind: ...}}")
    return video, encoders["audio"]


def _waveform(encoders: Mapping[str, Encoder], method: str) -> Waveform:
    encoder = encoders.get("audio")
    if not isinstance(encoder, Waveform):
        raise ConfigError(
            f"{method} trains an encoder of waveforms; add audio_encoder: {{kind: waveform}}"
        )
    return encoder


def _spectrogram(encoders: Mapping[str, Encoder], method: str) -> SpectrogramVit:
    encoder = encoders.get("audio")
    if not isinstance(encoder, SpectrogramVit):
        raise ConfigError(
            f"{method} trains an encoder of spectrograms; "
            f"add audio_encoder: {{kind: spectrogram_vit}}"
        )
    return encoder
