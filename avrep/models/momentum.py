"""A slowly moving copy of a network, and a queue of the keys that it gave.

He, Fan, Wu, Xie, Girshick, "Momentum Contrast for Unsupervised Visual Representation Learning" (MoCo,
arXiv 1911.05722), has both; masked predictors such as V-JEPA have the copy alone.
"""

import copy
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional

M = TypeVar("M", bound=nn.Module)


class MomentumCopy(nn.Module, Generic[M]):
    """A copy of a module whose weights are an exponential moving average of the module's.

    Its parameters have `requires_grad` off, and what it computes has no gradient. Buffers are its
    own, as in MoCo: batch norm's averages come from what the copy itself has seen in training mode.

    Under several ranks each makes the same update of the same weights, so the copies stay equal
    and nothing is sent.

    Args:
        module: what to copy, weights and buffers; changes of the original do not reach the copy.
    """

    module: M
    """The copy."""

    def __init__(self, module: M) -> None:
        super().__init__()
        self.module = copy.deepcopy(module)
        self.module.requires_grad_(False)

    @torch.no_grad()
    def forward(self, *inputs: Any, **options: Any) -> Any:
        return self.module(*inputs, **options)

    def restart(self, original: M) -> None:
        """Take the original's weights and buffers as they are."""
        self.module.load_state_dict(original.state_dict())

    @torch.no_grad()
    def update(self, original: nn.Module, momentum: float) -> None:
        """Makes each parameter t of the copy m t + (1 - m) s, with s the original's (MoCo, eq. 2).

        Args:
            original: the module that was copied, with the same parameters in the same order.
            momentum: m in [0, 1]: 0.999 in MoCo; schedules pass the value of the step.

        Raises:
            ValueError: the momentum is out of range, or the parameters are not as many.
        """
        if not 0 <= momentum <= 1:
            raise ValueError(f"momentum must be in [0, 1], got {momentum}")
        for own, other in zip(self.module.parameters(), original.parameters(), strict=True):
            own.lerp_(other, 1 - momentum)


def linear_momentum(step: int, total_steps: int, first: float, last: float) -> float:
    """The momentum of one update of several, on a line: first + (last - first) * (step - 1) / total.

    As V-JEPA's released code counts (arXiv 2404.08471): the first update has `first`, and `last`
    would be that of the one after the end.

    Args:
        step: how many updates of the weights are done, from 1.
        total_steps: of the run.
        first: momentum of the first update.
        last: where the line ends.
    """
    return first + (last - first) * (step - 1) / total_steps


class KeyQueue(nn.Module):
    """The newest keys, to contrast queries with; the oldest make room.

    It begins as random directions, which serve as negatives until they are replaced, as in MoCo's
    released code. Any number of keys may come at once: past the last row it goes on from the first,
    where MoCo wants the size to be a multiple of the batch.

    Args:
        num_keys: K, rows that it holds.
        width: d, numbers in a key.
    """

    keys: Tensor
    """float32[K d], rows of length 1."""
    num_enqueued: Tensor
    """int64[]: keys that ever came in; the next goes to this row modulo K."""

    def __init__(self, num_keys: int, width: int) -> None:
        super().__init__()
        self.register_buffer("keys", functional.normalize(torch.randn(num_keys, width), dim=1))
        self.register_buffer("num_enqueued", torch.zeros((), dtype=torch.int64))

    def fill(self) -> Tensor:
        """float32[]: the share of rows that are keys; the rest is as it began."""
        return (self.num_enqueued.float() / len(self.keys)).clamp(max=1)

    @torch.no_grad()
    def enqueue(self, keys: Tensor) -> None:
        """Puts keys in, in order, each in the place of the oldest.

        Under several ranks every rank must be given the keys of all, in one order
        (`avrep.losses.gather`), so that the queues stay equal.

        Args:
            keys: float[n d]; of more than K only the last K stay.
        """
        size = len(self.keys)
        kept = keys[-size:]
        # Places are computed on the device, so that it need not be waited for.
        last = self.num_enqueued + len(keys)
        places = last - len(kept) + torch.arange(len(kept), device=self.keys.device)
        self.keys[places % size] = kept.to(self.keys.dtype)
        self.num_enqueued.copy_(last)
