"""Checkpoints: a folder a step, written whole or not at all.

    checkpoints/step-00000200/
        model.safetensors    parameters and buffers of the objective
        optimizer.pt         optimizer state, loaded with weights_only=True
        state.json           step, config, package versions, digest of the items read

The data state is the step: addresses, augmentation and the objective's own draws all follow from it.
"""

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from avrep.errors import ConfigError

_PREFIX = "step-"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunState:
    """What a checkpoint says about itself, apart from weights."""

    step: int
    """Steps done: the next one to take."""
    config: dict[str, Any]
    versions: dict[str, str]
    data_digest: str
    """Of the items that the run reads; see `avrep.assemble.data_digest`."""


def save_checkpoint(
    run_dir: Path,
    state: RunState,
    objective: nn.Module,
    optimizer: torch.optim.Optimizer,
    keep: int,
) -> Path:
    """Write a checkpoint and remove all but the newest `keep`.

    The folder gets its name only when everything in it is on the disk, so that a crash while
    writing leaves the earlier checkpoints as they were.

    Raises:
        OSError: it cannot be written, on a full disk for one.
    """
    final = run_dir / "checkpoints" / f"{_PREFIX}{state.step:08d}"
    partial = final.with_name(final.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    first_names = _first_names(objective)
    tensors = {
        name: tensor.contiguous()
        for name, tensor in objective.state_dict().items()
        if first_names[name] == name
    }
    try:
        save_file(tensors, partial / "model.safetensors")
        torch.save(optimizer.state_dict(), partial / "optimizer.pt")
    except (SafetensorError, RuntimeError) as error:
        # What either library makes of a full disk.
        reason = " ".join(str(error).split())[:200]
        raise OSError(
            f"cannot write {partial} ({reason}); earlier checkpoints are whole: "
            "make room and resume"
        ) from error
    fields = {name: getattr(state, name) for name in RunState.__slots__}
    (partial / "state.json").write_text(json.dumps(fields, indent=1), encoding="utf-8")
    for file in partial.iterdir():
        _flush_to_disk(file)
    shutil.rmtree(final, ignore_errors=True)
    partial.rename(final)
    _flush_to_disk(final.parent)
    for old in checkpoints(run_dir)[:-keep]:
        shutil.rmtree(old)
    return final


def checkpoints(run_dir: Path) -> list[Path]:
    """Whole checkpoints of a run, oldest first."""
    folder = run_dir / "checkpoints"
    found = [p for p in folder.glob(f"{_PREFIX}*") if p.suffix != ".partial"]
    return sorted(p for p in found if (p / "state.json").is_file())


def latest_checkpoint(run_dir: Path) -> Path:
    """The newest whole checkpoint of a run.

    Raises:
        ConfigError: the run has none.
    """
    found = checkpoints(run_dir)
    if not found:
        raise ConfigError(f"no checkpoint in {run_dir}; is it the folder of a run of avrep train?")
    return found[-1]


def read_state(checkpoint: Path) -> RunState:
    return RunState(**json.loads((checkpoint / "state.json").read_text(encoding="utf-8")))


def load_checkpoint(
    checkpoint: Path, objective: nn.Module, optimizer: torch.optim.Optimizer | None = None
) -> RunState:
    """Put a checkpoint's weights, and the optimizer's state if asked for, into place.

    Raises:
        ConfigError: the weights are damaged, or not of this model.
    """
    try:
        tensors = load_file(checkpoint / "model.safetensors")
        for name, first in _first_names(objective).items():
            if name != first and first in tensors:
                tensors[name] = tensors[first]
        objective.load_state_dict(tensors)
    except SafetensorError as error:
        raise ConfigError(
            f"{checkpoint} is damaged ({error}); remove it to use the one before it"
        ) from error
    except RuntimeError as error:
        first_line = " ".join(str(error).split())[:300]
        raise ConfigError(f"{checkpoint} does not fit this model: {first_line}") from error
    if optimizer is not None:
        saved = torch.load(checkpoint / "optimizer.pt", weights_only=True, map_location="cpu")
        optimizer.load_state_dict(saved)
    return read_state(checkpoint)


def _first_names(module: nn.Module) -> dict[str, str]:
    """The name under which each parameter and buffer is written.

    An encoder that several objectives train has a name in each, and is written once.
    """
    firsts: dict[int, str] = {}
    named = [
        *module.named_parameters(remove_duplicate=False),
        *module.named_buffers(remove_duplicate=False),
    ]
    return {name: firsts.setdefault(id(tensor), name) for name, tensor in named}


def _flush_to_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
