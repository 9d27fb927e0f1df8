"""One optimisation step."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

from avrep import rng
from avrep.objectives.base import BatchTensors, LossOut
from avrep.training import parallel

Precision = Literal["fp32", "bf16"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StepResult:
    """Numbers of one step, on the host: means over all ranks."""

    loss: float
    grad_norm: float
    """Of the gradient as it came, before any clipping."""
    metrics: Mapping[str, float]


def take_step(
    module: nn.Module,
    optimizer: torch.optim.Optimizer,
    inputs: BatchTensors,
    *,
    lr: float,
    precision: Precision,
    seed: int,
    rank: int = 0,
    max_grad_norm: float | None = None,
) -> StepResult:
    """Forward, backward, update.

    Args:
        module: the objective, or its DDP wrapper.
        optimizer: over the objective's trainable parameters.
        inputs: this rank's part of the step.
        lr: learning rate of this step.
        precision: "bf16" runs the forward pass under autocast; weights and updates stay fp32.
        seed: the run's seed; the objective's own draws come from (seed, step, rank).
        rank: this rank.
        max_grad_norm: a longer gradient, all parameters together, is scaled to this length.

    Raises:
        FloatingPointError: the loss is not finite; no weight was touched.
    """
    for group in optimizer.param_groups:
        group["lr"] = lr
    device = next(module.parameters()).device
    generator = torch.Generator(device)
    generator.manual_seed(rng.device_seed(seed, rng.Stage.OBJECTIVE, inputs.step, rank))
    with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
        out: LossOut = module(inputs, generator)
    told = parallel.mean_over_ranks(
        torch.stack([out.loss.detach(), *(value.float() for value in out.metrics.values())])
    ).tolist()
    # Of all ranks, so that all of them stop here and none waits for the others' gradients.
    if not math.isfinite(told[0]):
        raise FloatingPointError(f"the loss of step {inputs.step} is {told[0]}")
    optimizer.zero_grad(set_to_none=True)
    out.loss.backward()
    parameters = [p for p in module.parameters() if p.grad is not None]
    grad_norm = torch.nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
    if max_grad_norm is not None:
        torch.nn.utils.clip_grads_with_norm_(parameters, max_grad_norm, grad_norm)
    optimizer.step()
    return StepResult(
        loss=told[0],
        grad_norm=float(grad_norm),
        metrics=dict(zip(out.metrics, told[1:], strict=True)),
    )
