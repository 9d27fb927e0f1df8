"""Fully sharded data parallelism: each rank holds a part of the weights, gradients and averages.

Zhao et al., "PyTorch FSDP", arXiv 2304.11277, as torch's `fully_shard` has it: parameters become
`DTensor`s, cut along their first dimension; a block's are joined when it is run, and let go after it.

torch's part of it is imported when wanted: it takes a second.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from avrep.errors import ConfigError
from avrep.models.blocks import blocks_of
from avrep.objectives.base import Objective
from avrep.training.joined_norms import join_norms


def shard(objective: Objective, device: torch.device) -> None:
    """Part the objective's weights among the ranks, in place: before its optimizer is built.

    Each block is a unit, a teacher's too, whose shards then follow its encoder's shards without any
    exchange; what is left is another unit, and stays joined from the first use to the end of the
    backward pass. Loss and updates are those of DDP.

    Weights are joined, and gradients summed, in float32; what is computed in bfloat16 is autocast's to
    say, as without shards. Joining in bfloat16 would send half as much, but round norms' weights, which
    autocast leaves alone and layer norm on the CPU does not take.

    Args:
        objective: on `device`, with equal weights on every rank.
        device: this rank's.

    Raises:
        ConfigError: the objective has no blocks, so that all of it would be joined at once.
    """
    blocks = blocks_of(objective)
    if not blocks:
        raise ConfigError(
            "train.parallel is fsdp, but neither encoders nor heads have blocks to part; take ddp"
        )
    join_norms(objective, device)
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import FSDPModule, fully_shard

    mesh = init_device_mesh(device.type, (dist.get_world_size(),))
    for block in blocks:
        fully_shard(block, mesh=mesh)
    # Scalars cannot be parted: each rank has them whole, and averages their gradients by itself.
    scalars = {parameter for parameter in objective.parameters() if parameter.ndim == 0}
    fully_shard(objective, mesh=mesh, ignored_params=scalars)
    for scalar in scalars:
        if scalar.requires_grad:
            scalar.register_post_accumulate_grad_hook(_average_gradient)
    if dist.get_backend() == "gloo":
        # It has no averages, only sums.
        for module in objective.modules():
            if isinstance(module, FSDPModule):
                module.set_force_sum_reduction_for_comms(True)


def is_sharded(part: nn.Module | Tensor) -> bool:
    """Whether it is an objective that went through `shard`, or one of its parted tensors."""
    # By what torch's classes for them can do, and others cannot.
    return hasattr(part, "unshard" if isinstance(part, nn.Module) else "to_local")


@contextmanager
def gathered(objective: nn.Module) -> Iterator[None]:
    """Within it, an encoder of a sharded objective can be run by itself; all ranks enter together.

    What is outside of blocks is whole there: else only the objective's own forward joins it.
    """
    if not is_sharded(objective):
        yield
        return
    sharded: Any = objective
    sharded.unshard()
    try:
        yield
    finally:
        sharded.reshard()


def total_norm(gradients: Iterable[Tensor]) -> Tensor:
    """float32[]: the length of all gradients together, of which each rank may hold a part.

    Args:
        gradients: `DTensor`s are cut along one dimension, other tensors are whole and equal on every
            rank; all ranks must call.
    """
    gradients = list(gradients)
    parts = [_local(gradient) for gradient in gradients if is_sharded(gradient)]
    whole = torch.nn.utils.get_total_norm([g for g in gradients if not is_sharded(g)])
    if not parts:
        return whole
    squares = torch.nn.utils.get_total_norm(parts).square()
    dist.all_reduce(squares)
    return (squares + whole.to(squares.device).square()).sqrt()


def clip(parameters: Iterable[nn.Parameter], norm: Tensor, max_norm: float) -> None:
    """Scale all gradients, in place, so that together they are no longer than `max_norm`.

    Args:
        parameters: those that have a gradient.
        norm: what `total_norm` gave of these.
        max_norm: positive.
    """
    parameters = list(parameters)
    if not any(is_sharded(parameter) for parameter in parameters):
        torch.nn.utils.clip_grads_with_norm_(parameters, max_norm, norm)
        return
    scale = (max_norm / (norm + 1e-6)).clamp(max=1.0)
    for parameter in parameters:
        assert parameter.grad is not None
        _local(parameter.grad).mul_(scale)


def _local(tensor: Tensor) -> Tensor:
    """What this rank holds of it."""
    from torch.distributed.tensor import DTensor

    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def _average_gradient(scalar: Tensor) -> None:
    # Of several micro-batches what came before is equal on all ranks already, and stays.
    assert scalar.grad is not None
    dist.all_reduce(scalar.grad)
    scalar.grad /= dist.get_world_size()
