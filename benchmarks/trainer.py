"""Does the stream keep the trainer busy? A step of the quickstart recipe, fed or not.

The ceiling is the same step on one batch that is there already, on the threads that the trainer has
beside its decode actors, and, as a second line, on all cores. Fed by the stream, the trainer is to
come near the first: on a machine this small the actors take the other cores' time.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice, repeat
from pathlib import Path

import torch

from avrep.assemble import build_objective, training_source, use_threads
from avrep.config import RunConfig, load_config
from avrep.pipeline.batches import read_batch
from avrep.training.loop import StepRecord, train
from avrep.training.optim import build_optimizer
from avrep.types import Batch
from benchmarks.workload import open_catalog

_WARM_STEPS = 2
RECIPE = Path(__file__).resolve().parents[1] / "configs" / "quickstart.yaml"


@dataclass(frozen=True, slots=True, kw_only=True)
class StepTime:
    """A step's time, and how much of it was waiting for a batch."""

    steps_per_s: float
    wait_share: float


def quickstart(catalog: Path, batch_items: int) -> RunConfig:
    """The recipe, on a catalogue of the benchmark's."""
    root = open_catalog(catalog).root
    overrides = [f"data.catalog={catalog}", f"data.root={root}", f"train.batch_size={batch_items}"]
    return load_config(RECIPE, overrides)


def cached(config: RunConfig, num_steps: int, num_threads: int | None = None) -> StepTime:
    """Steps on one batch, over and over."""
    source = training_source(config, build_objective(config))
    batch = read_batch(source, 0)
    if num_threads is not None:
        train_part = config.train.model_copy(update={"num_threads": num_threads})
        config = config.model_copy(update={"train": train_part})
    return _timed_steps(config, repeat(batch), num_steps)


def fed(config: RunConfig, num_steps: int) -> StepTime:
    """Steps on the stream of two decode actors; Ray must be initialised."""
    from avrep.cluster.stream import ray_stream

    source = training_source(config, build_objective(config))
    steps = range(num_steps + _WARM_STEPS + 4)
    with ray_stream(source, steps, num_actors=config.data.num_decode_actors) as stream:
        return _timed_steps(config, stream, num_steps)


def _timed_steps(config: RunConfig, stream: Iterator[Batch], num_steps: int) -> StepTime:
    use_threads(config)
    objective = build_objective(config)
    records: list[tuple[float, float]] = []
    train(
        config.train,
        objective,
        build_optimizer(objective.named_parameters(), config.train.optim),
        islice(stream, num_steps + _WARM_STEPS),
        seed=config.seed,
        device=torch.device("cpu"),
        on_step=partial(_keep, records),
    )
    timed = records[_WARM_STEPS - 1 :]
    elapsed_s = timed[-1][0] - timed[0][0]
    waited_s = sum(wait_s for _, wait_s in timed[1:])
    return StepTime(steps_per_s=(len(timed) - 1) / elapsed_s, wait_share=waited_s / elapsed_s)


def _keep(records: list[tuple[float, float]], record: StepRecord) -> None:
    records.append((time.perf_counter(), record.wait_s))
