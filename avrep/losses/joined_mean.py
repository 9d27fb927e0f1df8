"""Means over what all ranks hold together, where ranks hold unequal numbers of terms."""

import torch.distributed as dist
from torch import Tensor

from avrep.transfer import to_device


def joined_mean(total: Tensor, count: Tensor, num_micro_batches: int = 1) -> Tensor:
    """What each rank adds to its loss so that the mean over ranks is the joined batch's mean.

    With W ranks that is W * total / (sum of count over ranks): DDP averages over ranks, and terms
    must weigh the same wherever they are. Where no rank has a term it is 0.

    Where a rank takes its share in M micro-batches it is M times as much: the mean over these and
    over ranks is then the joined batch's.

    Args:
        total: float32[...], sums over the local terms; the gradient goes through them.
        count: the same shape, on any device: how many terms the rank's whole share has; every rank must call, in the
            same order.
        num_micro_batches: M, of which `total` is one.
    """
    count = to_device(count, total.device).double()
    world_size = 1
    if dist.is_available() and dist.is_initialized():
        world_size = dist.get_world_size()
        count = count.clone()
        dist.all_reduce(count)
    return total * (num_micro_batches * world_size / count.clamp_min(1)).to(total.dtype)
