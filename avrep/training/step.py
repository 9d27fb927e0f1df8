"""One optimisation step."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

from avrep import rng
from avrep.objectives.base import BatchTensors, LossOut
from avrep.training import parallel
from avrep.training.fsdp import clip, total_norm
from avrep.training.micro_batches import micro_batches
from avrep.training.optim import set_rates

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
    weight_decay: float | None = None,
    rank: int = 0,
    max_grad_norm: float | None = None,
    num_micro_batches: int = 1,
) -> StepResult:
    """Forward, backward, update.

    In micro-batches the update is that of the undivided share as far as the loss is a mean over
    items: batch norm's statistics are those of each micro-batch, and dropout's draws are others.

    Args:
        module: the objective, sharded or not, or its DDP wrapper.
        optimizer: over the objective's trainable parameters.
        inputs: this rank's part of the step.
        lr: learning rate of this step.
        precision: "bf16" runs the forward pass under autocast; weights and updates stay fp32.
        seed: the run's seed; the objective's own draws come from (seed, step, rank).
        weight_decay: of this step, on what is decayed; None: as it is.
        rank: this rank.
        max_grad_norm: a longer gradient, all parameters together, is scaled to this length.
        num_micro_batches: parts of equal size that `inputs` is taken in, one after the other.

    Raises:
        FloatingPointError: the loss is not finite; no weight was touched.
        ConfigError: the items do not divide into the micro-batches.
    """
    set_rates(optimizer, lr, weight_decay)
    device = next(module.parameters()).device
    generator = torch.Generator(device)
    generator.manual_seed(rng.device_seed(seed, rng.Stage.OBJECTIVE, inputs.step, rank))
    optimizer.zero_grad(set_to_none=True)
    parts = micro_batches(inputs, num_micro_batches)
    outs: list[LossOut] = []
    told: list[float] = []
    for number, part in enumerate(parts, start=1):
        with parallel.synchronised(module, is_last=number == len(parts)):
            with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
                out: LossOut = module(part, generator)
            outs.append(LossOut(loss=out.loss.detach(), metrics=out.metrics))
            if number == len(parts):
                told = _means(outs)
                # Of all ranks, so that all of them stop here and none waits for the others' gradients.
                if not math.isfinite(told[0]):
                    raise FloatingPointError(f"the loss of step {inputs.step} is {told[0]}")
            (out.loss / len(parts)).backward()
    parameters = [p for p in module.parameters() if p.grad is not None]
    grad_norm = total_norm(p.grad for p in parameters if p.grad is not None)
    if max_grad_norm is not None:
        clip(parameters, grad_norm, max_grad_norm)
    optimizer.step()
    return StepResult(
        loss=told[0],
        grad_norm=float(grad_norm),
        metrics=dict(zip(outs[0].metrics, told[1:], strict=True)),
    )


def _means(outs: Sequence[LossOut]) -> list[float]:
    """Of the loss and of each metric, over micro-batches and ranks; all ranks must call."""
    rows = [
        torch.stack([out.loss, *(value.float() for value in out.metrics.values())]) for out in outs
    ]
    return parallel.mean_over_ranks(torch.stack(rows).mean(dim=0)).tolist()
