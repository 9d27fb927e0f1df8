"""The published recipes, at several sizes of encoder, as objectives whose steps can be timed."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from avrep.assemble import build_objective
from avrep.config import RunConfig, load_config
from avrep.methods import build_encoder
from avrep.models.waveform import Waveform
from avrep.objectives.base import BatchTensors, Objective
from avrep.objectives.hubert import Hubert, HubertConfig

_CONFIGS = Path(__file__).resolve().parents[1] / "configs"
_LABEL_SAMPLES = 160


@dataclass(frozen=True, slots=True, kw_only=True)
class StepCase:
    """A recipe with another size of encoder, all else as published."""

    recipe: str
    size: str
    overrides: tuple[str, ...] = ()

    @property
    def method(self) -> str:
        return self.config().objective.kind

    def config(self) -> RunConfig:
        return load_config(_CONFIGS / f"{self.recipe}.yaml", self.overrides)

    def build(self) -> Objective:
        """The objective with fresh weights; it needs no corpus."""
        config = self.config()
        if config.start is not None:
            # What the weights are makes no difference to the time.
            start = config.start.model_copy(update={"run": "."})
            config = config.model_copy(update={"start": start})
        if isinstance(config.objective, HubertConfig) and config.audio_encoder is not None:
            encoder = build_encoder(config.audio_encoder, config.seed)
            assert isinstance(encoder, Waveform)
            return Hubert(config.objective, encoder, _any_labels(config.objective), config.seed)
        return build_objective(config)


def _sizes(recipe: str, part: str, sizes: Sequence[str]) -> list[StepCase]:
    return [StepCase(recipe=recipe, size=size, overrides=(f"{part}={size}",)) for size in sizes]


CASES = (
    *_sizes("cvrl_k400", "video_encoder.arch", ("r3d_18", "r3d_50")),
    *_sizes("rspnet_k400", "video_encoder.arch", ("c3d", "r3d_18", "s3d_g")),
    *_sizes("videomae_k400", "video_encoder.size", ("small", "base", "large")),
    *_sizes("mae_st_k400", "video_encoder.size", ("small", "base", "large")),
    *_sizes("vjepa_vm2m", "video_encoder.size", ("small", "base", "large")),
    *_sizes("wav2vec2_ls960", "audio_encoder.size", ("tiny", "base")),
    *_sizes("hubert_ls960", "audio_encoder.size", ("tiny", "base")),
    *_sizes("audiomae_as2m", "audio_encoder.size", ("small", "base")),
    *_sizes("ssast_as_ls", "audio_encoder.size", ("small", "base")),
    StepCase(recipe="segment_avclip_vggsound", size="as published"),
    StepCase(recipe="synchformer_vggsound", size="as published"),
    StepCase(recipe="syncnet_bbc", size="as published"),
)
"""Smaller sizes first."""


def _any_labels(config: HubertConfig) -> "_CyclingLabels":
    return _CyclingLabels(config.num_classes)


@dataclass(frozen=True, slots=True)
class _CyclingLabels:
    """int64[b k]: a cluster for every 10 ms, whatever is heard."""

    num_classes: int

    def __call__(self, batch: BatchTensors) -> torch.Tensor:
        (view,) = batch.views
        assert view.audio is not None
        num_clips, num_samples = view.audio.shape
        count = torch.arange(num_samples // _LABEL_SAMPLES)
        return (count + count.new_tensor(range(num_clips))[:, None]) % self.num_classes
