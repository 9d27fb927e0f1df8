"""One rank is the general case with a world of one: every function here works without a group."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Literal

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from avrep.errors import ConfigError
from avrep.training import fsdp
from avrep.training.joined_norms import join_norms

DeviceName = Literal["auto", "cpu", "cuda"]


def rank() -> int:
    return dist.get_rank() if dist.is_initialized() else 0


def world_size() -> int:
    return dist.get_world_size() if dist.is_initialized() else 1


def is_first() -> bool:
    """Whether this is the rank that writes what all have in common."""
    return rank() == 0


def wait_for_all() -> None:
    """Go on when every rank is here."""
    if dist.is_initialized():
        dist.barrier()


def mean_over_ranks(values: Tensor) -> Tensor:
    """The mean of every rank's values, on each of them; all ranks must call."""
    if world_size() == 1:
        return values
    total = values.clone()
    dist.all_reduce(total)
    return total / world_size()


def sum_over_ranks(counts: Sequence[int]) -> list[int]:
    """The sum of every rank's counts, on each of them; all ranks must call."""
    if world_size() == 1:
        return list(counts)
    device = torch.device("cuda") if dist.get_backend() == "nccl" else torch.device("cpu")
    total = torch.tensor(counts, dtype=torch.int64, device=device)
    dist.all_reduce(total)
    return total.tolist()


def wrap(module: nn.Module, device: torch.device) -> nn.Module:
    """The module as the step calls it: batch norm of the joined batch, and DDP, when there are several
    ranks.

    A module that is sharded already (`avrep.training.fsdp`) stays as it is.
    """
    if world_size() == 1 or fsdp.is_sharded(module):
        return module
    join_norms(module, device)
    ids = [device.index] if device.type == "cuda" else None
    return DistributedDataParallel(module, device_ids=ids)


def synchronised(module: nn.Module, *, is_last: bool) -> AbstractContextManager[None]:
    """Where one of a step's micro-batches is taken, forward and backward: gradients are exchanged with
    those of the last, once for all. Sharded gradients are exchanged with each, so that no rank holds
    them whole.

    Args:
        module: from `wrap`.
        is_last: whether no other micro-batch follows.
    """
    if isinstance(module, DistributedDataParallel) and not is_last:
        return module.no_sync()
    return nullcontext()


def pick_device(name: DeviceName) -> torch.device:
    """The device of a config's name: "auto" is this rank's GPU if there is one, else the CPU.

    This rank's GPU is the current one of torch: Ray Train sets it for each trainer, and to a process
    alone it is the first. Whoever starts ranks otherwise sets it.

    Raises:
        ConfigError: see `named_device`.
    """
    return named_device(name, torch.cuda.current_device() if torch.cuda.is_available() else None)


def named_device(name: DeviceName, gpu: int | None) -> torch.device:
    """`pick_device` where this rank's GPU has that number, or where there is none.

    Raises:
        ConfigError: a GPU is asked for, and there is none.
    """
    if name == "cpu" or (name == "auto" and gpu is None):
        return torch.device("cpu")
    if gpu is None:
        raise ConfigError(
            "cuda is asked for (train.device, or --device), but torch finds no GPU here; take auto "
            "or cpu; avrep doctor tells whether there is a GPU that torch does not see"
        )
    return torch.device("cuda", gpu)
