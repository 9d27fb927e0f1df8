"""Every rank's rows on every rank, with a gradient that finds its way back."""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


def gather_rows(local: Tensor) -> tuple[Tensor, int]:
    """Joins the ranks' rows in rank order; in one process it hands back what it was given.

    The gradient is that of the sum of all ranks' losses: each rank's share is summed over ranks and
    the rank keeps its own rows' part. Under DDP, which averages the parameters' gradients, a loss
    that is the mean over local samples therefore trains like the one-rank loss on the joined batch.
    (Taking the gradient of the own rows only, as a plain all_gather does, loses the part that flows
    through keys on other ranks.)

    Args:
        local: [b ...], the same shape and dtype on every rank; every rank must call, in the same
            order, and go backward through the result.

    Returns:
        The rows [n ...] with n = ranks * b, and the number of the first own row among them.
    """
    if not dist.is_available() or not dist.is_initialized() or dist.get_world_size() == 1:
        return local, 0
    rows = _GatherRows.apply(local)
    return rows, dist.get_rank() * local.shape[0]


class _GatherRows(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, local: Tensor) -> Tensor:
        ctx.num_local = local.shape[0]
        rows = local.new_empty(dist.get_world_size() * local.shape[0], *local.shape[1:])
        dist.all_gather_into_tensor(rows, local.contiguous())
        return rows

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> Tensor:
        # A reduce-scatter would send less, but gloo has none, and these rows are few and narrow.
        total = grad_outputs[0].clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total.narrow(0, dist.get_rank() * ctx.num_local, ctx.num_local)
