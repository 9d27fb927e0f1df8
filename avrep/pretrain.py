"""A pretraining run: from a config to a folder of checkpoints, metrics and records.

RUN/
    config.yaml         every value that ran
    environment.json    versions, device, commit
    metrics.jsonl       one line a logged step
    tensorboard/        the same numbers
    failures.jsonl      items that could not be used, and why
    health.json         what the corpus and the stream looked like
    checkpoints/        see avrep.training.checkpoint
"""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from avrep.assemble import build_objective, data_digest, training_source, use_threads
from avrep.config import RunConfig, differences, dump_config, load_config
from avrep.environment import describe_environment, package_versions
from avrep.errors import ConfigError
from avrep.media.index import read_rejects
from avrep.models.features import Encoder
from avrep.pipeline.budget import check_failure_budget
from avrep.pipeline.example import StreamSource
from avrep.pipeline.stream import OpenStream, plain_stream
from avrep.training import parallel
from avrep.training.checkpoint import (
    RunState,
    checkpoints,
    latest_checkpoint,
    load_checkpoint,
    read_state,
    save_checkpoint,
)
from avrep.training.loop import StepRecord, train
from avrep.training.optim import build_optimizer
from avrep.training.recorder import Recorder, numbers

MAY_CHANGE_ON_RESUME = frozenset(
    {
        "data.catalog",
        "data.root",
        "data.split",
        "data.keys",
        "data.num_decode_actors",
        "data.prefetch_batches",
        "data.max_failure_share",
        "train.device",
        "train.num_threads",
        "train.log_every_steps",
        "train.checkpoint_every_steps",
        "train.keep_checkpoints",
    }
)
"""Config values that do not decide what is computed; which items are read, a digest watches."""


def pretrain(
    config: RunConfig,
    run_dir: Path,
    *,
    open_stream: OpenStream = plain_stream,
    resume: bool = False,
    stop_after: int | None = None,
    on_step: Callable[[StepRecord], None] | None = None,
) -> None:
    """Train as the config says, from the start or from the newest checkpoint.

    Args:
        config: what to train on what.
        run_dir: the run's folder; new, unless `resume`.
        open_stream: the plain stream, or Ray's.
        resume: go on from the newest checkpoint.
        stop_after: stop, with a checkpoint, when this many steps are done; the schedule still ends
            at `train.num_steps`.
        on_step: called after each step, for a progress line.

    Raises:
        ConfigError: the folder holds a run already and `resume` is not set; or the run resumed is
            of another config or catalogue.
        FailureBudgetExceeded: too many items could not be used.
    """
    config = _found_from_anywhere(config)
    device = parallel.pick_device(config.train.device)
    use_threads(config)
    objective = build_objective(config).to(device)
    optimizer = build_optimizer(objective.named_parameters(), config.train.optim)
    source = training_source(config, objective)
    first_step = 0
    if resume:
        checkpoint = latest_checkpoint(run_dir)
        _check_same_run(read_state(checkpoint), config, source, run_dir)
        first_step = load_checkpoint(checkpoint, objective, optimizer).step
    elif checkpoints(run_dir):
        raise ConfigError(f"{run_dir} holds a run already; add --resume, or choose another --out")
    else:
        for name in ("metrics.jsonl", "failures.jsonl"):
            # Of a run that ended before its first checkpoint.
            (run_dir / name).unlink(missing_ok=True)
    run_dir.mkdir(parents=True, exist_ok=True)
    (run_dir / "config.yaml").write_text(dump_config(config), encoding="utf-8")
    _write_json(run_dir / "environment.json", describe_environment(device))

    last_step = min(config.train.num_steps, stop_after or config.train.num_steps)
    account = _Account(config, run_dir, source)
    window: list[StepRecord] = []

    def after_step(record: StepRecord) -> None:
        account.add(record)
        window.append(record)
        if record.step % config.train.log_every_steps == 0 or record.step == last_step:
            recorder.write(record.step, numbers(window))
            window.clear()
        if record.step % config.train.checkpoint_every_steps == 0 or record.step == last_step:
            state = RunState(
                step=record.step,
                config=config.model_dump(mode="json"),
                versions=package_versions(),
                data_digest=data_digest(source),
            )
            save_checkpoint(run_dir, state, objective, optimizer, config.train.keep_checkpoints)
            account.write()
        if on_step:
            on_step(record)

    steps = range(first_step, last_step)
    with (
        Recorder(run_dir) as recorder,
        open_stream(source, steps, parallel.rank(), parallel.world_size()) as stream,
    ):
        train(
            config.train,
            objective,
            optimizer,
            stream,
            seed=config.seed,
            device=device,
            on_step=after_step,
        )


def read_run_config(run_dir: Path, overrides: Sequence[str] = ()) -> RunConfig:
    """The config that a run was made with, with `key=value` overrides.

    Raises:
        ConfigError: the folder holds no run, or see `load_config`.
    """
    path = run_dir / "config.yaml"
    if not path.is_file():
        raise ConfigError(f"no run at {run_dir}; make one: avrep train CONFIG --out {run_dir}")
    return load_config(path, overrides)


def load_encoder(run_dir: Path | str, *, trained: bool = True) -> Encoder:
    """A run's video encoder, in evaluation mode, on the CPU.

    Args:
        run_dir: a run's folder.
        trained: with the newest checkpoint's weights; otherwise as the run began, for comparison.

    Returns:
        A module that takes float32[b 3 t h w], normalised as the run's augmentation does, and gives
        `Features`.

    Raises:
        ConfigError: the folder holds no run, or no checkpoint.
    """
    run_dir = Path(run_dir)
    objective = build_objective(read_run_config(run_dir))
    if trained:
        load_checkpoint(latest_checkpoint(run_dir), objective)
    return objective.encoders()["video"].eval()


def _found_from_anywhere(config: RunConfig) -> RunConfig:
    """The config with absolute paths, so that the run can be measured from another folder."""
    data = config.data
    absolute = {
        name: str(Path(path).resolve())
        for name, path in (("catalog", data.catalog), ("keys", data.keys))
        if path is not None
    }
    return config.model_copy(update={"data": data.model_copy(update=absolute)})


def _check_same_run(
    state: RunState, config: RunConfig, source: StreamSource, run_dir: Path
) -> None:
    changed = {
        path: change
        for path, change in differences(state.config, config.model_dump(mode="json")).items()
        if path not in MAY_CHANGE_ON_RESUME
    }
    if changed:
        listed = ", ".join(f"{path}: {change}" for path, change in changed.items())
        raise ConfigError(
            f"{run_dir} was made with another config ({listed}); choose another --out"
        )
    if state.data_digest != data_digest(source):
        raise ConfigError(
            f"{source.catalog.path} gives other items than those that {run_dir} was made with; "
            "resume with the same catalogue and filters, or choose another --out"
        )


class _Account:
    """Keeps count of what the stream delivered and what it could not."""

    def __init__(self, config: RunConfig, run_dir: Path, source: StreamSource) -> None:
        self._config = config
        self._run_dir = run_dir
        self._source = source
        self._num_read = self._num_failed = self._num_clips = self._num_bad_packets = 0

    def add(self, record: StepRecord) -> None:
        batch = record.batch
        self._num_clips += record.num_clips
        self._num_bad_packets += batch.num_bad_packets
        self._num_failed += len(batch.failures)
        self._num_read += len(batch.addresses) + len(batch.failures)
        if batch.failures:
            with (self._run_dir / "failures.jsonl").open("a", encoding="utf-8") as file:
                for failure in batch.failures:
                    line = {"step": batch.step, "key": failure.key, "stage": failure.stage}
                    file.write(json.dumps({**line, "reason": failure.reason}) + "\n")
            check_failure_budget(
                self._num_failed,
                self._num_read,
                self._config.data.max_failure_share,
                batch.failures[-1],
            )

    def write(self) -> None:
        catalog = self._source.catalog
        rejects = read_rejects(catalog.path.with_name(f"{catalog.path.stem}.rejects.csv"))
        _write_json(
            self._run_dir / "health.json",
            {
                "num_items": len(self._source.plan.rows),
                "num_rejects": len(rejects),
                "rejects": [
                    {"key": reject.key, "stage": reject.stage, "reason": reject.reason}
                    for reject in rejects[:50]
                ],
                "num_clips": self._num_clips,
                "num_failed_items": self._num_failed,
                "num_bad_packets": self._num_bad_packets,
                "num_decode_actors": self._config.data.num_decode_actors,
            },
        )


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
