"""Optimizers: torch's SGD and AdamW, LARS of our own, and which parameters they leave alone."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, overload

import torch
from pydantic import Field
from torch import Tensor, nn

from avrep.errors import ConfigError
from avrep.frozen import FrozenConfig
from avrep.models.blocks import layer_of_each
from avrep.models.features import Encoder
from avrep.training.fsdp import is_sharded


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
    final_weight_decay: float | None = Field(default=None, ge=0)
    """Where half a cosine brings the weight decay in the steps of the learning rate's schedule, as in
    V-JEPA; None: it stays."""
    decay_vectors: bool = False
    """Weight decay is for biases and norms too, as in fairseq's recipes and RSPNet's."""
    layer_decay: float | None = Field(default=None, gt=0, le=1)
    """A parameter of an encoder's layer l of n learns at this to the power n + 1 - l times the rate,
    with 0 the layer that makes tokens; heads, and what is behind the last layer, at the full rate.
    0.65 to 0.75 in BEiT's and MAE's fine-tuning. None: all at one rate."""
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
    named_parameters: Iterable[tuple[str, nn.Parameter]],
    config: OptimConfig,
    lr_scales: Mapping[nn.Parameter, float] | None = None,
) -> torch.optim.Optimizer:
    """The configured optimizer over the trainable parameters, at the peak learning rate.

    Two groups: kernels and matrices first; then vectors and scalars (biases, norms' scales and
    shifts), which get neither weight decay, unless the config says so, nor LARS adaptation, as in
    CVRL and SimCLR. What a parameter is, its number of dimensions says. Frozen parameters are left
    out. With rates of their own, and where some parameters are sharded and some are not, there are
    two groups for each kind.

    AdamW is torch's fused one, in one pass over all the numbers, on the CPU and on GPUs; SGD too, but
    for sharded parameters.

    Args:
        named_parameters: of the whole objective, in a fixed order.
        config: which optimizer.
        lr_scales: from `layer_scales`; None: 1 for all.
    """
    groups: dict[tuple[float, bool, bool], dict[str, Any]] = {}
    for _, parameter in named_parameters:
        if not parameter.requires_grad:
            continue
        scale = 1.0 if lr_scales is None else lr_scales.get(parameter, 1.0)
        is_kernel = parameter.ndim > 1
        is_decayed = is_kernel or config.decay_vectors
        group = groups.setdefault(
            (scale, is_sharded(parameter), not is_kernel),
            {
                "params": [],
                "weight_decay": config.weight_decay if is_decayed else 0.0,
                "is_decayed": is_decayed,
                "lr_scale": scale,
                "lr": config.lr * scale,
            },
        )
        group["params"].append(parameter)
    ordered = [groups[key] for key in sorted(groups)]
    match config.name:
        case "sgd":
            # torch has no fused one for sharded parameters.
            fused = not any(is_parted for _, is_parted, _ in groups)
            return torch.optim.SGD(ordered, lr=config.lr, momentum=config.momentum, fused=fused)
        case "adamw":
            return torch.optim.AdamW(
                ordered, lr=config.lr, betas=config.betas, eps=config.eps, fused=True
            )
        case "lars":
            return Lars(
                [{**groups[key], "adapt": not key[-1]} for key in sorted(groups)],
                lr=config.lr,
                momentum=config.momentum,
                weight_decay=config.weight_decay,
                trust_coefficient=config.trust_coefficient,
            )


def layer_scales(
    encoders: Mapping[str, Encoder], layer_decay: float | None
) -> dict[nn.Parameter, float]:
    """What the learning rate is multiplied by, for each parameter of the encoders.

    decay^(n + 1 - l) in layer l of n (`layer_of_each`): Bao et al., BEiT, arXiv 2106.08254, and He et
    al., MAE, arXiv 2111.06377, as their fine-tuning is released.

    Args:
        encoders: by name, sharded already if they are to be.
        layer_decay: in (0, 1]; None: nothing is scaled.

    Raises:
        ConfigError: an encoder has no layers to count by.
    """
    scales: dict[nn.Parameter, float] = {}
    if layer_decay is None:
        return scales
    for name, encoder in encoders.items():
        num_layers = len(encoder.blocks())
        if num_layers == 0:
            raise ConfigError(
                f"optim.layer_decay is {layer_decay}, but the {name} encoder, "
                f"{type(encoder).__name__}, has no layers to count; leave it out"
            )
        scales |= {
            parameter: layer_decay ** (num_layers + 1 - layer)
            for parameter, layer in layer_of_each(encoder).items()
        }
    return scales


def set_rates(
    optimizer: torch.optim.Optimizer, lr: float, weight_decay: float | None = None
) -> None:
    """Give each group its learning rate and weight decay of a step.

    Args:
        optimizer: from `build_optimizer`, or any other.
        lr: of parameters whose rate is not scaled.
        weight_decay: of what is decayed; None: as it is.
    """
    for group in optimizer.param_groups:
        group["lr"] = lr * group.get("lr_scale", 1.0)
        if weight_decay is not None and group.get("is_decayed", True):
            group["weight_decay"] = weight_decay
