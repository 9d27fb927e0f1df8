"""Optimizers: torch's SGD and AdamW, LARS of our own, and which parameters they leave alone."""

from collections.abc import Callable, Iterable
from typing import Any, Literal, overload

import torch
from pydantic import Field
from torch import Tensor, nn

from avrep.frozen import FrozenConfig


class OptimConfig(FrozenConfig):
    """Which optimizer; the defaults are CVRL's on Kinetics-600.

    CVRL (arXiv 2008.03800) adds 1e-6 * sum ||w||^2 / 2 over kernels to its loss; its gradient is
    1e-6 * w, which is what `weight_decay` 1e-6 means to SGD. The momentum is not in CVRL's own
    config; its experiment inherits 0.9 from the video classification one.
    """

    name: Literal["sgd", "lars", "adamw"] = "sgd"
    lr: float = Field(default=0.32, gt=0)
    """Peak learning rate, for the batch of the whole run; CVRL's 0.32 is for 1024 clips."""
    weight_decay: float = Field(default=1e-6, ge=0)
    """On matrices and kernels only. SGD and LARS add it to the gradient; AdamW decouples it."""
    momentum: float = Field(default=0.9, ge=0, lt=1)
    """SGD and LARS."""
    trust_coefficient: float = Field(default=0.001, gt=0)
    """LARS."""
    betas: tuple[float, float] = (0.9, 0.999)
    """AdamW: decay of the averages of the gradient and of its square."""
    eps: float = Field(default=1e-8, gt=0)
    """AdamW."""


class Lars(torch.optim.Optimizer):
    """Layer-wise adaptive rate scaling over SGD with momentum.

    For weights w with gradient g, in a group with lr, decay and momentum:

        u = g + decay * w
        r = trust * ||w|| / ||u||,  or 1 where either norm is 0 or the group does not adapt
        v = momentum * v + lr * r * u
        w = w - v

    You et al., arXiv 1708.03888, algorithm 1, with one change that self-supervised code makes (SimCLR
    and after): the paper divides by ||g|| + decay * ||w||, these by the norm of the sum. The learning
    rate enters the momentum, as in the paper; many PyTorch versions multiply it afterwards, which
    differs while the rate changes.

    Args:
        params: parameters, or groups of them; a group's `adapt` says whether r applies.
        lr: learning rate.
        momentum: in [0, 1).
        weight_decay: see above.
        trust_coefficient: see above.
    """

    def __init__(
        self,
        params: Iterable[Any],
        *,
        lr: float,
        momentum: float,
        weight_decay: float,
        trust_coefficient: float,
    ) -> None:
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "weight_decay": weight_decay,
            "trust_coefficient": trust_coefficient,
            "adapt": True,
        }
        super().__init__(params, defaults)

    @overload
    def step(self, closure: None = None) -> None: ...

    @overload
    def step(self, closure: Callable[[], float]) -> float: ...

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for weights in group["params"]:
                if weights.grad is not None:
                    self._update(weights, weights.grad, group)
        return loss

    def _update(self, weights: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        update = gradient.add(weights, alpha=group["weight_decay"])
        if group["adapt"]:
            # Chosen by torch.where, not by `if`, so that the device need not be waited for.
            weights_norm, update_norm = torch.linalg.norm(weights), torch.linalg.norm(update)
            rate = group["trust_coefficient"] * weights_norm / update_norm
            defined = (weights_norm > 0) & (update_norm > 0)
            update = update * torch.where(defined, rate, torch.ones_like(rate))
        state = self.state[weights]
        if "velocity" not in state:
            state["velocity"] = torch.zeros_like(weights)
        state["velocity"].mul_(group["momentum"]).add_(update, alpha=group["lr"])
        weights.sub_(state["velocity"])


def build_optimizer(
    named_parameters: Iterable[tuple[str, nn.Parameter]], config: OptimConfig
) -> torch.optim.Optimizer:
    """The configured optimizer over the trainable parameters, at the peak learning rate.

    Two groups: kernels and matrices first; then vectors and scalars (biases, norms' scales and
    shifts), which get neither weight decay nor LARS adaptation, as in CVRL and SimCLR. What a
    parameter is, its number of dimensions says. Frozen parameters are left out.

    Args:
        named_parameters: of the whole objective, in a fixed order; names are not used yet.
        config: which optimizer.
    """
    trainable = [parameter for _, parameter in named_parameters if parameter.requires_grad]
    kernels = [parameter for parameter in trainable if parameter.ndim > 1]
    vectors = [parameter for parameter in trainable if parameter.ndim <= 1]
    decayed: dict[str, Any] = {"params": kernels, "weight_decay": config.weight_decay}
    spared: dict[str, Any] = {"params": vectors, "weight_decay": 0.0}
    match config.name:
        case "sgd":
            return torch.optim.SGD([decayed, spared], lr=config.lr, momentum=config.momentum)
        case "adamw":
            return torch.optim.AdamW(
                [decayed, spared], lr=config.lr, betas=config.betas, eps=config.eps
            )
        case "lars":
            return Lars(
                [{**decayed, "adapt": True}, {**spared, "adapt": False}],
                lr=config.lr,
                momentum=config.momentum,
                weight_decay=config.weight_decay,
                trust_coefficient=config.trust_coefficient,
            )
