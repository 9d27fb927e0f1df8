"""Batch norm over the clips of all ranks, so that how many ranks share a batch decides nothing.

Every objective trains so: the mean over ranks of a loss can only be the loss of the joined batch if what
clips are normalised by is of that batch. CVRL's released yaml has it so (sync BN). RSPNet's code, as
MoCo's, has each GPU's own and shuffles keys over GPUs; `avrep.objectives.rspnet` says how that differs.
"""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


def join_norms(module: nn.Module, device: torch.device) -> None:
    """Have every batch norm in a module normalise by the joined batch, in place, when it trains.

    Weights and averages stay the tensors that they are, and keep their names.

    Args:
        module: of which every rank has the same, and runs the same norms in the same order.
        device: that it is on. For CUDA it is torch's own, whose kernels are fused; that refuses others.
    """
    kind = nn.SyncBatchNorm if device.type == "cuda" else JoinedBatchNorm
    for part in list(module.modules()):
        for name, child in part.named_children():
            if isinstance(child, _BatchNorm) and not isinstance(child, kind):
                part.add_module(name, _converted(child, kind))


def _converted(norm: _BatchNorm, kind: type[_BatchNorm]) -> _BatchNorm:
    other = kind(norm.num_features, norm.eps, norm.momentum, norm.affine, norm.track_running_stats)
    other.train(norm.training)
    other.weight, other.bias = norm.weight, norm.bias
    other.running_mean, other.running_var = norm.running_mean, norm.running_var
    other.num_batches_tracked = norm.num_batches_tracked
    return other


class JoinedBatchNorm(_BatchNorm):
    """torch's batch norm, in training mode of all ranks' rows, which need not be equally many.

    The gradient is that of the sum of all ranks' losses, as with `avrep.losses.gather`; those of weight
    and bias are of the rank's own rows, as DDP and FSDP join them. All ranks must call, and go backward,
    in the same order.
    """

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002, torch's name
        if not self.training or not dist.is_initialized():
            return super().forward(input)
        train: Any = self._train
        return train(input)

    # What other ranks answer is nothing to compile.
    @torch.compiler.disable
    def _train(self, given: Tensor) -> Tensor:
        # As torch does, statistics of bfloat16 are in float32.
        x = given.to(torch.promote_types(given.dtype, torch.float32))
        mean, variance, count = _joined_moments(x)
        self._follow(mean, variance * count / (count - 1))
        normed = _Normalise.apply(x, mean, (variance + self.eps).rsqrt(), count)
        if self.affine:
            normed = torch.addcmul(_along(self.bias, x), normed, _along(self.weight, x))
        return normed.to(given.dtype)

    @torch.no_grad()
    def _follow(self, mean: Tensor, unbiased: Tensor) -> None:
        """Move the running averages on."""
        if self.running_mean is None or self.running_var is None:
            return
        assert self.num_batches_tracked is not None
        self.num_batches_tracked += 1
        # Without a momentum, the mean of all batches.
        share = 1 / int(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), share)
        self.running_var.lerp_(unbiased.to(self.running_var.dtype), share)

    def _check_input_dim(self, input: Tensor) -> None:  # noqa: A002, torch's name
        if input.ndim < 2:
            raise ValueError(f"batch norm wants [b c ...], got {list(input.shape)}")


@torch.no_grad()
def _joined_moments(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean [c], biased variance [c] and number [] of all ranks' values of each channel.

    In two passes: in one, a variance would be the difference of two large numbers.
    """
    dims = _all_but_channels(x)
    sums = torch.cat([x.sum(dims), x.new_full((1,), x.numel() / x.shape[1])])
    dist.all_reduce(sums)
    mean, count = sums[:-1] / sums[-1], sums[-1]
    squares = (x - _along(mean, x)).square().sum(dims)
    dist.all_reduce(squares)
    return mean, squares / count, count


class _Normalise(torch.autograd.Function):
    """(x - mean) / deviation. Both being of all ranks' rows, each row's gradient finds its way to all."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, mean: Tensor, scale: Tensor, count: Tensor) -> Tensor:
        normed = (x - _along(mean, x)) * _along(scale, x)
        ctx.save_for_backward(normed, scale, count)
        return normed

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None, None, None]:
        (gradient,) = grad_outputs
        normed, scale, count = ctx.saved_tensors
        dims = _all_but_channels(normed)
        sums = torch.stack([gradient.sum(dims), (gradient * normed).sum(dims)])
        dist.all_reduce(sums)
        shift, slope = (_along(mean, normed) for mean in sums / count)
        return (gradient - shift - normed * slope) * _along(scale, normed), None, None, None


def _all_but_channels(x: Tensor) -> tuple[int, ...]:
    return (0, *range(2, x.ndim))


def _along(channels: Tensor, x: Tensor) -> Tensor:
    """[c] as it goes with [b c ...]."""
    return channels.view(-1, *(1,) * (x.ndim - 2))
