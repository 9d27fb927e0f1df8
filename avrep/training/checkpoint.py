"""What a checkpoint holds, how it is written and how it comes back.

    step-00000200/
        model.safetensors        parameters and buffers of the objective
        optimizer.safetensors    the optimizer's state, each tensor by its parameter's name
        state.json               step, config, package versions, digest of the items read, counts

Where several ranks train, each writes its part, `model-00001-of-00002.safetensors` and so on; any
number of ranks reads them. There is no pickle. The data state is the step: addresses, augmentation
and the objective's own draws all follow from it.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from pydantic import TypeAdapter, ValidationError
from safetensors import SafetensorError
from torch import Tensor, nn

from avrep.errors import ConfigError
from avrep.training.checkpoint_store import STATE_FILE, Checkpoint
from avrep.training.pieces import Piece, PieceFiles, own_pieces, write_pieces

Kind = Literal["model", "optimizer"]
_MOST_RANKS = 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class RunState:
    """What a checkpoint says about itself, apart from weights."""

    step: int
    """Steps done: the next one to take."""
    config: dict[str, Any]
    versions: dict[str, str]
    data_digest: str
    """Of the items that the run reads; see `avrep.assemble.data_digest`."""
    num_ranks: int = 1
    """That wrote it, each its part."""
    metrics: dict[str, float] = field(default_factory=dict)
    """Means of what was logged since the checkpoint before."""
    counts: dict[str, dict[str, int]] = field(default_factory=dict)
    """Of each corpus, what `avrep.account` counts."""


_STATE = TypeAdapter(RunState)


def part_names(kind: Kind, num_ranks: int) -> list[str]:
    """The files that hold the weights or the optimizer's state, by rank."""
    if num_ranks == 1:
        return [f"{kind}.safetensors"]
    return [f"{kind}-{rank + 1:05d}-of-{num_ranks:05d}.safetensors" for rank in range(num_ranks)]


def own_part(
    objective: nn.Module, optimizer: torch.optim.Optimizer, rank: int, num_ranks: int
) -> dict[str, dict[str, Piece]]:
    """What one rank writes: file name -> name -> piece of the tensors as they are now.

    Parameters and the optimizer's state are alike on all ranks, or sharded. Buffers need not be,
    as batch norm's are each rank's own until DDP hands round the first's: the first's are meant.
    """
    firsts = _first_names(objective)
    model = {
        name: tensor for name, tensor in objective.state_dict().items() if firsts[name] == name
    }
    buffers = {name for name, _ in objective.named_buffers(remove_duplicate=False)}
    state = _optimizer_tensors(objective, optimizer)
    return {
        part_names("model", num_ranks)[rank]: own_pieces(model, buffers, rank, num_ranks),
        part_names("optimizer", num_ranks)[rank]: own_pieces(state, set(), rank, num_ranks),
    }


def write_part(checkpoint: Checkpoint, part: Mapping[str, Mapping[str, Piece]]) -> None:
    """Write what `own_part` gave, with the data on the CPU.

    Raises:
        OSError: it cannot be written, on a full disk for one.
        ShardError: the store does not take it.
    """
    with _told_plainly(checkpoint):
        for name, pieces in part.items():
            checkpoint.store.put(checkpoint, name, partial(write_pieces, pieces=pieces))


def write_state(checkpoint: Checkpoint, state: RunState) -> None:
    """Make a checkpoint whole: to be called once, when every rank's part is written.

    Raises:
        OSError, ShardError: as `write_part`.
    """
    text = json.dumps(asdict(state), indent=1)
    with _told_plainly(checkpoint):
        checkpoint.store.put(checkpoint, STATE_FILE, partial(_write_text, text=text))


def read_state(checkpoint: Checkpoint) -> RunState:
    """What a whole checkpoint says about itself.

    Raises:
        ConfigError: it is damaged.
        ShardError: the store cannot be read.
    """
    with checkpoint.store.files(checkpoint, [STATE_FILE]) as (path,):
        data = path.read_bytes()
    try:
        state = _STATE.validate_json(data)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(place) for place in first["loc"])
        raise _damaged(checkpoint, f"{STATE_FILE}: {where} {first['msg']}") from error
    if not 1 <= state.num_ranks <= _MOST_RANKS:
        raise _damaged(checkpoint, f"{STATE_FILE}: written by {state.num_ranks} ranks")
    return state


def load_checkpoint(
    checkpoint: Checkpoint, objective: nn.Module, optimizer: torch.optim.Optimizer | None = None
) -> RunState:
    """Put a checkpoint's weights, and the optimizer's state if asked for, into place.

    However many ranks wrote it, and however many there are now: each reads what it holds.

    Raises:
        ConfigError: it is damaged, or not of this model.
        ShardError: the store cannot be read.
    """
    state = read_state(checkpoint)
    kinds = get_args(Kind) if optimizer is not None else ("model",)
    names = [name for kind in kinds for name in part_names(kind, state.num_ranks)]
    try:
        with checkpoint.store.files(checkpoint, names) as paths:
            with PieceFiles(paths[: state.num_ranks]) as files:
                _load_model(files, objective)
            if optimizer is not None:
                with PieceFiles(paths[state.num_ranks :]) as files:
                    _load_optimizer(files, objective, optimizer)
    except (SafetensorError, ValueError) as error:
        raise _damaged(checkpoint, str(error)) from error
    except RuntimeError as error:
        first_line = " ".join(str(error).split())[:300]
        raise ConfigError(f"{checkpoint} does not fit this model: {first_line}") from error
    return state


def weights_sha256(checkpoint: Checkpoint) -> str:
    """Hex SHA-256 of the files that hold the weights, by rank.

    Raises:
        ConfigError, ShardError: as `load_checkpoint`.
    """
    digest = hashlib.sha256()
    names = part_names("model", read_state(checkpoint).num_ranks)
    with checkpoint.store.files(checkpoint, names) as paths:
        for path in paths:
            with path.open("rb") as file:
                while block := file.read(2**20):
                    digest.update(block)
    return digest.hexdigest()


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


def _optimizer_tensors(objective: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """PARAMETER.KEY -> tensor. What a group's numbers are, the config says."""
    names = {id(parameter): name for name, parameter in objective.named_parameters()}
    return {
        f"{names[id(parameter)]}.{key}": value
        for group in optimizer.param_groups
        for parameter in group["params"]
        for key, value in optimizer.state.get(parameter, {}).items()
        if value is not None
    }


def _load_model(files: PieceFiles, objective: nn.Module) -> None:
    own, firsts = objective.state_dict(), _first_names(objective)
    tensors = {
        name: files.read_like(firsts[name], target)
        for name, target in own.items()
        if firsts[name] in files.names()
    }
    # So that they are told of as what they are.
    tensors |= {name: files.read(name) for name in files.names() - own.keys()}
    objective.load_state_dict(tensors)


def _load_optimizer(
    files: PieceFiles, objective: nn.Module, optimizer: torch.optim.Optimizer
) -> None:
    keys: dict[str, list[str]] = {}
    for name in files.names():
        parameter_name, _, key = name.rpartition(".")
        keys.setdefault(parameter_name, []).append(key)
    names = {id(parameter): name for name, parameter in objective.named_parameters()}
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    unknown = keys.keys() - {names[id(parameter)] for parameter in parameters}
    if unknown:
        raise RuntimeError(f"the optimizer has no parameter {min(unknown)}")
    # Numbered as `Optimizer.state_dict` numbers them; it knows where each tensor has to be.
    state = {
        number: {
            key: _state_tensor(files, f"{names[id(parameter)]}.{key}", key, parameter)
            for key in sorted(keys[names[id(parameter)]])
        }
        for number, parameter in enumerate(parameters)
        if names[id(parameter)] in keys
    }
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})


def _state_tensor(files: PieceFiles, name: str, key: str, parameter: Tensor) -> Tensor:
    # The count of steps is a number; all else is as the parameter is.
    if key == "step":
        return files.read(name).clone()
    found = files.read_like(name, parameter)
    if found.shape != parameter.shape:
        raise RuntimeError(f"{name} is {list(found.shape)}, here {list(parameter.shape)}")
    # Ordered in memory as the parameter is, so that sums over it are taken in the same order.
    return torch.empty_like(parameter, dtype=found.dtype).copy_(found)


@contextmanager
def _told_plainly(checkpoint: Checkpoint) -> Iterator[None]:
    try:
        yield
    except (SafetensorError, OSError) as error:
        # What the library, or the disk itself, makes of a full one.
        reason = " ".join(str(error).split())[:200]
        raise OSError(
            f"cannot write {checkpoint} ({reason}); make room, and resume from the newest "
            "checkpoint if there is one: earlier ones are whole"
        ) from error


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def _damaged(checkpoint: Checkpoint, reason: str) -> ConfigError:
    return ConfigError(
        f"{checkpoint} is damaged ({' '.join(reason.split())[:200]}); "
        "remove it to use the one before it"
    )
