"""One rank is the general case with a world of one: every function here works without a group."""

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel


def rank() -> int:
    return dist.get_rank() if dist.is_initialized() else 0


def world_size() -> int:
    return dist.get_world_size() if dist.is_initialized() else 1


def wrap(module: nn.Module, device: torch.device) -> nn.Module:
    """The module as the step calls it: synchronised BatchNorm and DDP when there are several ranks."""
    if world_size() == 1:
        return module
    # PyTorch's synchronised BatchNorm exists on GPUs only; on CPU each rank keeps its own.
    if device.type == "cuda":
        module = nn.SyncBatchNorm.convert_sync_batchnorm(module)
        return DistributedDataParallel(module, device_ids=[device.index])
    return DistributedDataParallel(module)


def pick_device(name: str) -> torch.device:
    """The device of a config's name: "auto" is this rank's GPU if there is one, else the CPU."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda":
        return torch.device("cuda", rank() % torch.cuda.device_count())
    return torch.device(name)
