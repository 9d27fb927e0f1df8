"""Encoders of sound by name: all that can be measured goes through this one door."""

from pathlib import Path

import torch

from avrep.errors import ConfigError
from avrep.evaluation.sound.upstream import Upstream
from avrep.evaluation.sound.upstream_log_mel import LogMel
from avrep.evaluation.sound.upstream_own import own_upstream
from avrep.evaluation.sound.upstream_python import python_upstream
from avrep.evaluation.sound.upstream_torchaudio import torchaudio_upstream
from avrep.evaluation.sound.upstream_transformers import transformers_upstream
from avrep.trained import load_encoder

_FORMS = "a run's folder, untrained:RUN, logmel, hf:FOLDER, torchaudio:PIPELINE, python:MODULE:NAME"


def open_upstream(name: str, device: str | torch.device = "cpu") -> Upstream:
    """An encoder of sound, frozen, by its name.

    Args:
        name: one of
            `logmel`: SUPERB's FBANK; `logmel-no-cmvn`: the same, not normalised, see `LogMel`;
            `hf:FOLDER`: a transformers folder (HuBERT, wav2vec 2.0, WavLM, data2vec audio);
            `torchaudio:HUBERT_BASE`: a pipeline whose weights are on this machine;
            `python:package.module:name`: a callable, see `PythonUpstream`;
            `untrained:RUN`: the encoder that a run began with;
            anything else: the folder of a run of ours, with its newest checkpoint.
        device: where it computes.

    Raises:
        ConfigError: there is no such encoder, or something that it needs is missing.
    """
    device = torch.device(device)
    kind, colon, rest = name.partition(":")
    if name in ("logmel", "logmel-no-cmvn"):
        return LogMel(device, normalises=name == "logmel")
    if colon and not rest and kind in ("hf", "torchaudio", "python", "untrained"):
        raise ConfigError(f"{name!r} names no encoder; give {_FORMS}")
    if colon and kind == "hf":
        return transformers_upstream(Path(rest), name, device)
    if colon and kind == "torchaudio":
        return torchaudio_upstream(rest, name, device)
    if colon and kind == "python":
        return python_upstream(rest, name)
    is_untrained = bool(colon) and kind == "untrained"
    run_dir = Path(rest if is_untrained else name)
    if not (run_dir / "config.yaml").is_file():
        raise ConfigError(
            f"no run at {run_dir}, and {name!r} names no other encoder; give {_FORMS}"
        )
    return own_upstream(load_encoder(run_dir, "audio", trained=not is_untrained), name, device)
