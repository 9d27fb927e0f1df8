"""Means over what all ranks hold together, where ranks hold unequal numbers of terms."""

import torch
import torch.distributed as dist
from torch import Tensor


def joined_mean(total: Tensor, count: Tensor) -> Tensor:
    """What each rank adds to its loss so that the mean over ranks is the joined batch's mean.

    With W ranks that is W * total / (sum of count over ranks): DDP averages over ranks, and terms
    must weigh the same wherever they are. Where no rank has a term it is 0.

    Args:
        total: float32[...], sums over the local terms; the gradient goes through them.
        count: the same shape, how many local terms there are; every rank must call, in the same
            order.
    """
    count = count.to(dtype=torch.float64)
    world_size = 1
    if dist.is_available() and dist.is_initialized():
        world_size = dist.get_world_size()
        count = count.clone()
        dist.all_reduce(count)
    return total * (world_size / count.clamp_min(1)).to(total.dtype)
