"""The training loop, in plain sight."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal, Self

import torch
from pydantic import Field, model_validator

from avrep.frozen import FrozenConfig
from avrep.models.mixed_precision import Precision
from avrep.objectives.base import BatchTensors, Objective
from avrep.training import parallel
from avrep.training.inputs import augment_batch, move_batch
from avrep.training.micro_batches import num_parts
from avrep.training.monitor import watch_health
from avrep.training.optim import OptimConfig
from avrep.training.parallel import DeviceName
from avrep.training.retention import KeepBest
from avrep.training.schedules import cosine_with_warmup, line_with_warmup
from avrep.training.spikes import SpikeConfig
from avrep.training.step import StepResult, take_step
from avrep.training.step_clock import StepTimes
from avrep.training.timers import clock_for
from avrep.types import Batch


class TrainConfig(FrozenConfig):
    """How long, how fast, how often."""

    batch_size: int = Field(gt=0)
    """Items in a step, over all ranks."""
    num_steps: int = Field(gt=0)
    warmup_steps: int = Field(default=0, ge=0)
    """Steps over which the learning rate rises from `first_lr` to its peak, `optim.lr`."""
    schedule: Literal["cosine", "line"] = "cosine"
    """How the learning rate goes on from its peak to `final_lr`."""
    first_lr: float = Field(default=0.0, ge=0)
    """Where the warm-up begins."""
    final_lr: float = Field(default=0.0, ge=0)
    """Where the schedule ends."""
    schedule_steps: int | None = Field(default=None, gt=0)
    """Where schedules end, if later than `num_steps`, which then cuts them off; V-JEPA's end after
    1.25 times as many."""
    optim: OptimConfig = OptimConfig()
    max_grad_norm: float | None = Field(default=None, gt=0)
    """A longer gradient, all parameters together, is scaled to this length; None: none is."""
    num_micro_batches: int = Field(default=1, gt=0)
    """Parts that a trainer takes its items of a step in, one after the other, so that it needs memory
    for one part: addresses, draws and the update stay those of the whole, but batch norm's statistics
    are of a part, as is wav2vec 2.0's diversity. Objectives that tell items from each other refuse.
    While there are fewer trainers than `num_workers`, each takes its larger share in more parts, none
    of which is larger; with 1, in one all the same."""
    parallel: Literal["ddp", "fsdp"] = "ddp"
    """With several trainers, each has all weights (ddp), or parts them with the others, block by block
    (fsdp), for encoders that are large beside a GPU."""
    activation_checkpointing: bool = False
    """Blocks of transformers and stages of residual networks keep their inputs alone and are computed
    again in the backward pass: less memory, about a third more time, the same update."""
    compile: bool = False
    """torch.compile for the same blocks; the first step then takes minutes, and needs a compiler."""
    channels_last: bool = False
    """Kernels of 3D convolutions in the memory order that tensor cores want; with ddp alone."""
    precision: Precision = "fp32"
    device: DeviceName = "auto"
    """auto: a GPU if there is one; of several trainers, if Ray has any when the run starts. cuda: each
    trainer has one, and is waited for where a cluster has yet to start its nodes."""
    num_workers: int = Field(default=1, gt=0)
    """Trainers that share each batch, on a GPU or a core each; several of them need Ray."""
    min_workers: int | None = Field(default=None, gt=0)
    """Train with as few as these while the cluster has no room for `num_workers`; None: wait."""
    max_restarts: int = Field(default=3, ge=0)
    """How often several trainers are started again from the last checkpoint when one dies."""
    num_threads: int | None = Field(default=None, gt=0)
    """CPU threads of torch; when not given, the cores that decode actors leave, at least one."""
    log_every_steps: int = Field(default=10, gt=0)
    checkpoint_every_steps: int = Field(default=500, gt=0)
    keep_checkpoints: int = Field(default=2, gt=0)
    """As many of the newest stay."""
    keep_best: KeepBest | None = None
    """One more stays: the best by a logged metric."""
    checkpoint_store: str | None = None
    """Folder or URL (s3://bucket/runs/first) for the checkpoints of this run and no other; None: in
    the run's own folder, where all else stays in any case."""
    spikes: SpikeConfig = SpikeConfig()
    """Which losses are told of, with their clips, for `avrep replay`."""
    probe_every_steps: int | None = Field(default=None, gt=0)
    """How often kNN on frozen features of held-out videos is measured while training; None: never."""
    probe_items: int = Field(default=256, ge=8)
    """Videos of the probe, at most, train and test together; their clips stay in memory."""

    @property
    def total_steps(self) -> int:
        """Steps of the schedules."""
        return self.num_steps if self.schedule_steps is None else self.schedule_steps

    def lr_at(self, step: int) -> float:
        """The learning rate of a step, from 0."""
        shape = cosine_with_warmup if self.schedule == "cosine" else line_with_warmup
        return shape(
            step, self.total_steps, self.warmup_steps, self.optim.lr, self.final_lr, self.first_lr
        )

    def weight_decay_at(self, step: int) -> float:
        """The weight decay of a step, from 0, on what is decayed."""
        first, final = self.optim.weight_decay, self.optim.final_weight_decay
        return (
            first if final is None else cosine_with_warmup(step, self.total_steps, 0, first, final)
        )

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        if self.schedule_steps is not None and self.schedule_steps < self.num_steps:
            raise ValueError(
                f"schedule_steps is {self.schedule_steps}; it must be at least num_steps, "
                f"{self.num_steps}"
            )
        parts = self.num_workers * self.num_micro_batches
        if self.num_micro_batches > 1 and self.batch_size % parts:
            raise ValueError(
                f"batch_size is {self.batch_size}; it must be a multiple of num_workers times "
                f"num_micro_batches, {parts}"
            )
        if self.channels_last and self.parallel == "fsdp":
            raise ValueError("channels_last does not go with parallel: fsdp; take ddp")
        return self

    @model_validator(mode="after")
    def _counts_fit(self) -> Self:
        if self.min_workers is not None and self.min_workers > self.num_workers:
            raise ValueError(
                f"min_workers is {self.min_workers}; it must be at most num_workers, "
                f"{self.num_workers}"
            )
        if self.warmup_steps > self.num_steps:
            raise ValueError(
                f"warmup_steps is {self.warmup_steps}; it must be at most num_steps, "
                f"{self.num_steps}"
            )
        return self


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRecord:
    """What is known after a step; the loop's only product besides weights."""

    step: int
    """Steps done."""
    total_steps: int
    lr: float
    result: StepResult
    wait_s: float
    """Waiting for the stream in this step."""
    elapsed_s: float
    """This step's whole time, waiting included."""
    num_clips: int
    """Clips that all ranks trained on in this step."""
    health: dict[str, float]
    """Measures of collapse; on logged steps only."""
    batch: Batch
    times: StepTimes = field(default_factory=StepTimes)
    """Where the time went, of the steps measured since the record before: on a GPU, which is not
    waited for, a step may be told of one record later, but on logged steps all are told of."""


def train(
    config: TrainConfig,
    objective: Objective,
    optimizer: torch.optim.Optimizer,
    stream: Iterator[Batch],
    *,
    seed: int,
    device: torch.device,
    on_step: Callable[[StepRecord], None],
    move: Callable[[Batch], BatchTensors] | None = None,
) -> None:
    """Train on every batch of the stream.

    Args:
        config: batch size and schedule; `num_steps` is the schedule's end, not the stream's.
        objective: on `device`, as `avrep.training.prepare` leaves it.
        optimizer: over the objective's trainable parameters.
        stream: batches from the first step to take to the last.
        seed: the run's seed.
        device: where to train.
        on_step: called after each step; logging and checkpoints happen there.
        move: brings a batch to the device; see `avrep.training.copy_ahead`. None: `move_batch`.
    """
    module = parallel.wrap(objective, device)
    objective.train()
    clock = clock_for(device)
    with watch_health(objective) as watch:
        began_s = time.perf_counter()
        for batch, wait_s in _timed(stream):
            clock.start()
            moved = move_batch(batch, device) if move is None else move(batch)
            clock.lap("transfer")
            inputs = augment_batch(batch, moved, objective, seed)
            # On a GPU these bytes are a quarter as much again as the inputs.
            del moved
            clock.lap("augment")
            lr = config.lr_at(batch.step)
            parts = num_parts(
                [len(corpus.addresses) for corpus in (batch, *batch.others.values())],
                parallel.world_size(),
                num_workers=config.num_workers,
                num_micro_batches=config.num_micro_batches,
            )
            result = take_step(
                module,
                optimizer,
                inputs,
                lr=lr,
                weight_decay=config.weight_decay_at(batch.step),
                precision=config.precision,
                seed=seed,
                rank=parallel.rank(),
                max_grad_norm=config.max_grad_norm,
                num_micro_batches=parts,
            )
            num_done = batch.step + 1
            objective.after_step(num_done, config.num_steps)
            clock.lap("compute")
            logged = num_done % config.log_every_steps == 0 or num_done == config.num_steps
            health = watch.measure(len(batch.addresses) // parts) if logged else {}
            ended_s = time.perf_counter()
            elapsed_s = ended_s - began_s
            on_step(
                StepRecord(
                    step=num_done,
                    total_steps=config.num_steps,
                    lr=lr,
                    result=result,
                    wait_s=wait_s,
                    elapsed_s=elapsed_s,
                    num_clips=batch.num_clips * parallel.world_size(),
                    health=health,
                    batch=batch,
                    times=clock.finish(wait_s, elapsed_s, complete=logged),
                )
            )
            began_s = ended_s


def _timed(stream: Iterator[Batch]) -> Iterator[tuple[Batch, float]]:
    """Each batch with the seconds that it was waited for."""
    while True:
        asked_s = time.perf_counter()
        batch = next(stream, None)
        if batch is None:
            return
        yield batch, time.perf_counter() - asked_s
