"""One optimisation step."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from avrep import rng
from avrep.models.mixed_precision import Precision, mixed_precision
from avrep.objectives.base import BatchTensors, LossOut
from avrep.training import parallel
from avrep.training.fsdp import clip, total_norm
from avrep.training.micro_batches import micro_batches
from avrep.training.optim import set_rates


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
    for number, part in enumerate(parts, start=1):
        with parallel.synchronised(module, is_last=number == len(parts)):
            with mixed_precision(device, precision):
                out: LossOut = module(part, generator)
            outs.append(LossOut(loss=out.loss.detach(), metrics=out.metrics))
            (out.loss / len(parts)).backward()
    parameters = [p for p in module.parameters() if p.grad is not None]
    grad_norm = total_norm(p.grad for p in parameters if p.grad is not None)
    if max_grad_norm is not None:
        clip(parameters, grad_norm, max_grad_norm)
    # The only time in a step that the host waits for a GPU: all but the update has been asked for.
    loss, *metrics, norm = torch.cat([_means(outs), grad_norm.to(device)[None]]).tolist()
    # Of all ranks, so that all of them stop here.
    if not math.isfinite(loss):
        raise FloatingPointError(f"the loss of step {inputs.step} is {loss}")
    optimizer.step()
    return StepResult(
        loss=loss, grad_norm=norm, metrics=dict(zip(outs[0].metrics, metrics, strict=True))
    )


def _means(outs: Sequence[LossOut]) -> Tensor:
    """float32[1 + metrics]: the loss and each metric, over micro-batches and ranks; all must call."""
    rows = [
        torch.stack([out.loss, *(value.float() for value in out.metrics.values())]) for out in outs
    ]
    return parallel.mean_over_ranks(torch.stack(rows).mean(dim=0))
