"""`python -m tests.second_device.steps`: each objective's steps on both devices, as JSON."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace

import torch

from avrep.models.mixed_precision import Precision
from avrep.objectives.base import BatchTensors, Objective
from avrep.training.optim import OptimConfig, build_optimizer
from avrep.training.step import StepResult, take_step
from benchmarks.random_batch import on_device, random_batch
from tests.objectives.still import make_still
from tests.objectives.test_contract import TOYS
from tests.second_device.tensors import WAITS, SecondDevice, second_device

_NUM_ITEMS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """Of one objective on one device."""

    results: list[StepResult]
    weights: dict[str, float]
    """The sum of each tensor's magnitudes, after the last step."""
    waits: dict[str, int]
    """In all steps."""


def main() -> None:
    torch.set_num_threads(1)
    host, device = torch.device("cpu"), second_device()
    told: dict[str, dict[str, object]] = {}
    for kind, build in TOYS.items():
        # Batch norm of a few numbers makes much of a rounding.
        alike, still = make_still(build(0)), make_still(build(0))
        told[kind.__name__] = {
            "host": asdict(steps_of(build(0), "fp32", host)),
            "host_still": asdict(steps_of(alike, "fp32", host, 1)),
        }
        with SecondDevice():
            told[kind.__name__] |= {
                "device": asdict(steps_of(build(0), "fp32", device)),
                "device_still_bf16": asdict(steps_of(still, "bf16", device, 1)),
            }
    print(json.dumps(told))


def steps_of(
    objective: Objective, precision: Precision, device: torch.device, num_steps: int = 2
) -> Steps:
    """Take steps on a batch that is there already, where it can be parted in two parts."""
    objective.to(device)
    optim = OptimConfig(name="adamw", lr=1e-3)
    optimizer = build_optimizer(objective.named_parameters(), optim)
    batch = on_device(_batch(objective), device)
    results: list[StepResult] = []
    WAITS.clear()
    for step in range(num_steps):
        with _told_of_waits(device):
            result = take_step(
                objective,
                optimizer,
                replace(batch, step=step),
                lr=1e-3,
                precision=precision,
                seed=0,
                max_grad_norm=1.0,
                num_micro_batches=1 if objective.compares_items else 2,
            )
            objective.after_step(step + 1, num_steps)
        results.append(result)
    waits = dict(WAITS)
    weights = {
        name: float(tensor.detach().double().abs().sum())
        for name, tensor in objective.state_dict().items()
    }
    return Steps(results=results, weights=weights, waits=waits)


@contextmanager
def _told_of_waits(device: torch.device) -> Iterator[None]:
    """On a GPU torch warns of each."""
    if device.type != "cuda":
        yield
        return
    torch.cuda.set_sync_debug_mode("warn")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


def _batch(objective: Objective) -> BatchTensors:
    """Sounds alone are of unequal length."""
    batch = random_batch(objective, _NUM_ITEMS)
    unequal = torch.tensor([8000, 6400, 7000, 8000])
    return replace(
        batch,
        views=tuple(
            replace(view, num_samples=unequal)
            if view.audio is not None and view.video is None
            else view
            for view in batch.views
        ),
    )


if __name__ == "__main__":
    main()
