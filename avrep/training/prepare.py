"""How an objective is computed, which is no part of what it computes: set once, before a run."""

import os
import shutil
import sys
from types import MethodType

import torch
from torch import nn

from avrep.errors import ConfigError
from avrep.models.blocks import blocks_of
from avrep.models.recompute import recompute_in_backward
from avrep.objectives.base import Objective
from avrep.training import fsdp, parallel
from avrep.training.loop import TrainConfig


def prepare(objective: Objective, config: TrainConfig, device: torch.device) -> None:
    """Bring an objective, in place, into the form that the config asks for.

    Its first weights must be in place already, and its optimizer not be built yet.

    Args:
        objective: on `device`.
        config: how it is to be trained.
        device: this rank's.

    Raises:
        ConfigError: it does not go with this objective, or not on this machine.
    """
    if config.num_micro_batches > 1 and objective.compares_items:
        raise ConfigError(
            f"train.num_micro_batches is {config.num_micro_batches}, but this objective tells each "
            "item from the others of its batch, and each would have fewer others; leave it out, "
            "and save memory by more trainers, activation_checkpointing or bf16"
        )
    if config.channels_last:
        use_channels_last(objective)
    if config.compile:
        compile_blocks(objective, device)
    if config.activation_checkpointing:
        for block in _blocks(objective, "activation_checkpointing"):
            recompute_in_backward(block)
    if config.parallel == "fsdp" and parallel.world_size() > 1:
        fsdp.shard(objective, device)


def use_channels_last(module: nn.Module) -> None:
    """Order the kernels of 3D convolutions by channels last; what they are given follows them."""
    for part in module.modules():
        if isinstance(part, nn.Conv3d):
            part.weight.data = part.weight.data.contiguous(memory_format=torch.channels_last_3d)


def compile_blocks(objective: Objective, device: torch.device, backend: str = "inductor") -> None:
    """Have torch.compile make kernels of each kind of block, when it first runs.

    Blocks of one kind and shape share them, so that this takes the time of one block; what draws,
    masks and gathers in between stays as it is.

    Args:
        objective: whose blocks.
        device: that it is on.
        backend: of torch.compile.

    Raises:
        ConfigError: there is no compiler to make them with, or nothing to make them of.
    """
    # What torch's inductor takes for the CPU, and triton for its launchers.
    cpp = os.environ.get("CXX", "clang++" if sys.platform == "darwin" else "g++")
    c = os.environ.get("CC", "gcc")
    name, variable = (c, "CC") if device.type == "cuda" else (cpp, "CXX")
    if shutil.which(name) is None:
        raise ConfigError(
            f"train.compile wants a compiler, and {name} is not found here; install it, set "
            f"{variable} to another, or leave train.compile out"
        )
    blocks = _blocks(objective, "compile")
    # A network's stages differ, and run with gradients and without: by itself torch gives up after 8.
    limit = 8 + 4 * len(blocks)
    torch._dynamo.config.recompile_limit = max(limit, torch._dynamo.config.recompile_limit)
    for block in blocks:
        block.forward = MethodType(torch.compile(type(block).forward, backend=backend), block)


def _blocks(objective: Objective, option: str) -> list[nn.Module]:
    blocks = blocks_of(objective)
    if not blocks:
        raise ConfigError(
            f"train.{option} is set, but neither encoders nor heads are made of blocks; leave it out"
        )
    return blocks
