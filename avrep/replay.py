"""A step of a run again: the very batch, loss and gradient, and what in them is not as it should be."""

import copy
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from avrep.assemble import (
    MAIN_CORPUS,
    build_objective,
    corpus_folder,
    data_digest,
    training_sources,
    use_threads,
)
from avrep.config import RunConfig
from avrep.errors import AvrepError, ConfigError
from avrep.objectives.base import BatchTensors, Objective
from avrep.pipeline.batch_digest import batch_digest
from avrep.pipeline.example import StreamSource
from avrep.pipeline.quarantine import KnownBad, read_quarantine
from avrep.pipeline.stream import OpenStream, open_mixture, plain_stream
from avrep.trained import checkpoints, read_run_config, start_encoders
from avrep.training import parallel
from avrep.training.checkpoint import load_checkpoint
from avrep.training.checkpoint_store import Checkpoint
from avrep.training.examine import Examination, examine_step
from avrep.training.guard import Incident, read_incidents
from avrep.training.inputs import to_inputs
from avrep.training.loop import StepRecord, train
from avrep.training.optim import build_optimizer, layer_scales
from avrep.training.prepare import prepare
from avrep.types import Batch


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """A step made again on one rank, and what was found in it."""

    config: RunConfig
    objective: Objective
    """As it was before the step."""
    step: int
    """As metrics count: the one after which so many are done."""
    from_step: int
    """Steps done in the weights that it started from: a checkpoint's, or 0, the run's beginning."""
    is_exact: bool
    """Whether the weights are those that the run had; if not, they are those of `from_step`."""
    sources: dict[str, StreamSource]
    batch: Batch
    digest: str
    """See `batch_digest`."""
    inputs: BatchTensors
    """What the objective was given."""
    loss: float | None
    """None where it was not finite."""
    grad_norm: float | None
    """None where the step was given up before there was one."""
    logged_loss: float | None
    """What the run wrote down; None where it wrote nothing of this step."""
    incident: Incident | None
    """What the run's guard wrote of this step, the first rank's part."""
    found: Examination


def replay_step(
    run_dir: Path,
    step: int,
    *,
    nearest: bool = False,
    open_stream: OpenStream = plain_stream,
    on_step: Callable[[StepRecord], None] | None = None,
) -> Replay:
    """Make a step of a run again.

    It starts from the newest checkpoint before the step, or from the run's beginning where none is
    left, and takes the steps between. On the device and with the threads of the run, a run of one
    trainer gives the same loss to the last bit on a CPU; one of several gives their joined batch.

    Args:
        run_dir: the run's folder; nothing in it is changed.
        step: as metrics count, from 1.
        nearest: take no steps between, but the weights of the nearest checkpoint.
        open_stream: the plain stream, or Ray's.
        on_step: told of the steps between.

    Raises:
        ConfigError: no such run or step, no checkpoint for `nearest`, or the catalogue gives other
            items than it gave the run.
        AvrepError: a step between has no finite loss.
    """
    config = read_run_config(run_dir)
    if not 1 <= step <= config.train.num_steps:
        raise ConfigError(f"--step {step}: {run_dir} has steps 1 to {config.train.num_steps}")
    device = parallel.pick_device(config.train.device)
    use_threads(config)
    objective = build_objective(config).to(device)
    checkpoint = _checkpoint(run_dir, step, nearest=nearest)
    from_step = 0
    if checkpoint is None:
        start_encoders(config, objective)
    prepare(objective, config.train, device)
    lr_scales = layer_scales(objective.encoders(), config.train.optim.layer_decay)
    optimizer = build_optimizer(objective.named_parameters(), config.train.optim, lr_scales)
    sources = _sources(config, objective, run_dir)
    if checkpoint is not None:
        state = load_checkpoint(checkpoint, objective, optimizer)
        from_step = state.step
        if state.data_digest != data_digest(sources.values()):
            raise ConfigError(
                f"the catalogue gives other items than those that {run_dir} was made with; put the "
                "one back that it had"
            )
    steps = range(step - 1 if nearest else from_step, step)
    records: list[StepRecord] = []
    with open_mixture(open_stream, sources, steps) as stream:

        def take(batches: Iterator[Batch], told: Callable[[StepRecord], None]) -> None:
            train(
                config.train,
                objective,
                optimizer,
                batches,
                seed=config.seed,
                device=device,
                on_step=told,
            )

        try:
            take(islice(stream, len(steps) - 1), on_step or _nothing)
        except FloatingPointError as error:
            raise AvrepError(
                f"a step before {step} has no finite loss in this replay ({error}); see "
                f"{run_dir / 'incidents'} for the step at which the run stopped"
            ) from error
        before = copy.deepcopy(objective)
        batch = next(stream)
        try:
            take(iter([batch]), records.append)
        except FloatingPointError:
            records.clear()
    inputs = to_inputs(batch, before, config.seed, device)
    return Replay(
        config=config,
        objective=before,
        step=step,
        from_step=from_step,
        is_exact=not nearest or from_step == step - 1,
        sources=sources,
        batch=batch,
        digest=batch_digest(batch),
        inputs=inputs,
        loss=records[0].result.loss if records else None,
        grad_norm=records[0].result.grad_norm if records else None,
        logged_loss=_logged_loss(run_dir, step),
        incident=next((one for one in read_incidents(run_dir) if one.step == step), None),
        found=examine_step(
            before,
            inputs,
            seed=config.seed,
            precision=config.train.precision,
            main_corpus=MAIN_CORPUS,
        ),
    )


def _nothing(_record: StepRecord) -> None: ...


def _sources(config: RunConfig, objective: Objective, run_dir: Path) -> dict[str, StreamSource]:
    """What the run read, so that what it passed over is passed over again."""
    return {
        name: replace(source, known_bad=KnownBad(read_quarantine(corpus_folder(run_dir, name))))
        for name, source in training_sources(config, objective).items()
    }


def _checkpoint(run_dir: Path, step: int, *, nearest: bool) -> Checkpoint | None:
    """Whose weights to start from; None for those that the run began with."""
    found = checkpoints(run_dir)
    if nearest:
        if not found:
            raise ConfigError(f"no checkpoint in {run_dir}; leave --nearest away")
        return min(found, key=lambda checkpoint: abs(checkpoint.step - (step - 1)))
    earlier = [checkpoint for checkpoint in found if checkpoint.step < step]
    return max(earlier, key=lambda checkpoint: checkpoint.step, default=None)


def _logged_loss(run_dir: Path, step: int) -> float | None:
    path = run_dir / "metrics.jsonl"
    if not path.is_file():
        return None
    for line in path.read_text(encoding="utf-8").splitlines(keepends=True):
        # The last line may have been cut short when the run was killed.
        if line.endswith("\n") and (told := json.loads(line))["step"] == step:
            return float(told["loss"])
    return None
