"""`hf:FOLDER`: a transformers model of speech that lies in a folder on this machine."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from avrep.errors import ConfigError
from avrep.evaluation.sound.equal_lengths import by_equal_lengths
from avrep.evaluation.sound.upstream import HiddenStates, Upstream, encoder_digest
from avrep.evaluation.task_result import EncoderFacts

_KINDS = ("hubert", "wav2vec2", "wavlm", "data2vec-audio")
_NORM_FLOOR = 1e-7


class TransformersUpstream(Upstream):
    """HuBERT, wav2vec 2.0, WavLM or data2vec audio as transformers has them.

    States are the transformer's input and each layer's output, behind the final norm where there is
    one: 13 of base. The waveform is normalised as `preprocessor_config.json` says. Sounds of one
    length are computed together and none is padded, so that each has what it has alone.

    Args:
        model: one of those, in evaluation mode.
        name: as it was asked for.
        normalises: whether each sound is brought to mean 0 and variance 1 first.
        device: where it computes.
    """

    def __init__(
        self, model: nn.Module, name: str, *, normalises: bool, device: torch.device
    ) -> None:
        self._model: Any = model.eval().to(device)
        self._normalises = normalises
        config: Any = model.config
        self.facts = EncoderFacts(
            name=name,
            digest=encoder_digest(model, config.model_type, normalises),
            num_parameters=sum(parameter.numel() for parameter in model.parameters()),
        )
        self.num_states = config.num_hidden_layers + 1
        self.width = config.hidden_size
        self.frame_samples, self.min_samples = _steps(config.conv_kernel, config.conv_stride)
        self.device = device

    def hidden_states(self, waves: Sequence[Tensor]) -> HiddenStates:
        return by_equal_lengths(waves, self._equal)

    def _equal(self, clips: Tensor) -> Tensor:
        clips = clips.to(self.device)
        if self._normalises:
            variance, mean = torch.var_mean(clips, dim=1, correction=0, keepdim=True)
            clips = (clips - mean) * (variance + _NORM_FLOOR).rsqrt()
        given = self._model(clips, output_hidden_states=True)
        states = (*given.hidden_states[:-1], given.last_hidden_state)
        if len(states) != self.num_states:
            raise ValueError(f"wants {self.num_states} hidden states, got {len(states)}")
        return torch.stack(states)


def transformers_upstream(
    folder: Path, name: str, device: torch.device | None = None
) -> TransformersUpstream:
    """Load a folder; nothing is fetched, and nothing but safetensors is read.

    Raises:
        ConfigError: transformers is not installed; the folder is none, or lacks a file; the model is
            of another kind, or takes another rate.
    """
    config = _read_json(folder, "config.json", "the model's own")
    preprocessor = _read_json(
        folder, "preprocessor_config.json", "it says how the waveform is normalised"
    )
    kind = config.get("model_type")
    if kind not in _KINDS:
        raise ConfigError(f"{folder} holds a {kind!r}; want one of {', '.join(_KINDS)}")
    if preprocessor.get("sampling_rate", 16_000) != 16_000:
        raise ConfigError(f"{folder} takes {preprocessor['sampling_rate']} Hz; want 16000")
    if not list(folder.glob("*.safetensors")):
        raise ConfigError(
            f"{folder} has no *.safetensors. Mend: load it in transformers once and save_pretrained"
        )
    try:
        import transformers
    except ImportError:
        raise ConfigError(f"{name} needs transformers. Mend: pip install 'avrep[hf]'") from None
    model = transformers.AutoModel.from_pretrained(
        folder, local_files_only=True, use_safetensors=True, trust_remote_code=False
    )
    return TransformersUpstream(
        model,
        name,
        normalises=bool(preprocessor.get("do_normalize", True)),
        device=device or torch.device("cpu"),
    )


def _read_json(folder: Path, name: str, what: str) -> dict[str, Any]:
    path = folder / name
    if not path.is_file():
        raise ConfigError(f"no {name} in {folder} ({what}). Mend: give a folder of save_pretrained")
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except ValueError as error:
        raise ConfigError(f"{path} is not JSON: {error}") from None


def _steps(kernels: Sequence[int], strides: Sequence[int]) -> tuple[int, int]:
    """Samples from one frame to the next, and samples that one frame sees."""
    step, seen = 1, 1
    for kernel, stride in zip(kernels, strides, strict=True):
        seen += (kernel - 1) * step
        step *= stride
    return step, seen
