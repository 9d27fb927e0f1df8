"""A pretraining run: from a config to a folder of checkpoints, metrics and records.

RUN/
    config.yaml         every value that ran
    environment.json    versions, device, commit
    metrics.jsonl       one line a logged step
    tensorboard/        the same numbers
    incidents/          see avrep.training.guard
    quarantine/ ledger/ health.json     see avrep.account
    checkpoints/        see avrep.training.checkpoint
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Literal, TypeVar

from avrep.account import Account, write_json
from avrep.assemble import (
    MAIN_CORPUS,
    build_objective,
    corpus_folder,
    data_digest,
    training_sources,
    use_threads,
)
from avrep.config import CorpusConfig, DataConfig, RunConfig, differences, dump_config, load_config
from avrep.environment import describe_environment, package_versions
from avrep.errors import ConfigError
from avrep.methods import found_from_anywhere
from avrep.models.features import Encoder
from avrep.objectives.base import Objective
from avrep.online_probe import OnlineProbe
from avrep.pipeline.example import StreamSource
from avrep.pipeline.quarantine import KnownBad, read_quarantine, release
from avrep.pipeline.stream import OpenStream, open_mixture, plain_stream
from avrep.training import parallel
from avrep.training.checkpoint import (
    RunState,
    checkpoints,
    latest_checkpoint,
    load_checkpoint,
    read_state,
    save_checkpoint,
)
from avrep.training.guard import guarded
from avrep.training.loop import StepRecord, train
from avrep.training.optim import build_optimizer
from avrep.training.recorder import Recorder, memory_numbers, numbers

_ReadFrom = TypeVar("_ReadFrom", DataConfig, CorpusConfig)

MAY_CHANGE_ON_RESUME = frozenset(
    {
        "data.catalog",
        "data.root",
        "data.split",
        "data.keys",
        "data.num_decode_actors",
        "data.prefetch_bytes",
        "data.read_ahead_bytes",
        "data.ledger",
        "data.limits.deadline_s",
        "data.limits.max_memory_bytes",
        "data.storage.max_attempts",
        "data.storage.first_wait_s",
        "data.storage.timeout_s",
        "data.max_failure_share",
        "train.device",
        "train.num_workers",
        "train.max_restarts",
        "train.num_threads",
        "train.log_every_steps",
        "train.checkpoint_every_steps",
        "train.keep_checkpoints",
        "train.spikes",
        "train.spikes.deviations",
        "train.spikes.window_steps",
        "train.probe_every_steps",
        "train.probe_items",
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

    Where `torch.distributed` is initialised this is one rank of several, and all of them call it,
    with a folder that all of them see.

    Args:
        config: what to train on what.
        run_dir: the run's folder; new, unless `resume`.
        open_stream: the plain stream, or Ray's.
        resume: go on from the newest checkpoint.
        stop_after: stop, with a checkpoint, when this many steps are done; the schedule still ends
            at `train.num_steps`.
        on_step: called after each step by the first rank, for a progress line.

    Raises:
        ConfigError: the folder holds a run already and `resume` is not set; or the run resumed is
            of another config or catalogue.
        FailureBudgetExceeded: too many items could not be used.
        StepNotFinite: a loss or a gradient was not finite; the step and its clips are named.
    """
    config = _found_from_anywhere(config)
    device = parallel.pick_device(config.train.device)
    use_threads(config)
    objective = build_objective(config).to(device)
    optimizer = build_optimizer(objective.named_parameters(), config.train.optim)
    sources = training_sources(config, objective)
    objective.check_catalog(sources[MAIN_CORPUS].catalog)
    for name, part in objective.corpora().items():
        part.check_catalog(sources[name].catalog)
    folders = {name: corpus_folder(run_dir, name) for name in sources}
    first_step = 0
    if resume:
        checkpoint = latest_checkpoint(run_dir)
        _check_same_run(read_state(checkpoint), config, sources, run_dir)
        first_step = load_checkpoint(checkpoint, objective, optimizer).step
    elif checkpoints(run_dir):
        raise ConfigError(f"{run_dir} holds a run already; add --resume, or choose another --out")
    else:
        if parallel.is_first():
            # Of a run that ended before its first checkpoint.
            for folder in folders.values():
                release(folder)
        start_encoders(config, objective)
    if parallel.is_first():
        run_dir.mkdir(parents=True, exist_ok=True)
        (run_dir / "config.yaml").write_text(dump_config(config), encoding="utf-8")
        write_json(run_dir / "environment.json", describe_environment(device))
        _forget_after(run_dir / "metrics.jsonl", first_step)
    parallel.wait_for_all()
    sources = {
        name: replace(source, known_bad=KnownBad(read_quarantine(folders[name])))
        for name, source in sources.items()
    }

    last_step = min(config.train.num_steps, stop_after or config.train.num_steps)
    accounts = {
        name: Account(config.data, folders[name], source, first_step, parallel.rank())
        for name, source in sources.items()
    }
    window: list[StepRecord] = []
    probe = OnlineProbe(config, objective, device, open_stream)

    def after_step(record: StepRecord) -> None:
        guard.check(record)
        probed = probe.measure(record.step)
        for name, account in accounts.items():
            account.add(record.batch if name == MAIN_CORPUS else record.batch.others[name])
        window.append(record)
        if probed or record.step % config.train.log_every_steps == 0 or record.step == last_step:
            if recorder:
                recorder.write(record.step, numbers(window) | memory_numbers(device) | probed)
            window.clear()
        if record.step % config.train.checkpoint_every_steps == 0 or record.step == last_step:
            state = RunState(
                step=record.step,
                config=config.model_dump(mode="json"),
                versions=package_versions(),
                data_digest=data_digest(sources.values()),
            )
            for account in accounts.values():
                account.write(record.step)
            # A checkpoint's ledger is whole, whichever rank wrote its part of it.
            parallel.wait_for_all()
            if parallel.is_first():
                save_checkpoint(run_dir, state, objective, optimizer, config.train.keep_checkpoints)
            parallel.wait_for_all()
        if on_step and parallel.is_first():
            on_step(record)

    steps = range(first_step, last_step)
    with (
        guarded(
            run_dir, config.train.spikes, first_step=first_step, main_corpus=MAIN_CORPUS
        ) as guard,
        Recorder(run_dir) if parallel.is_first() else nullcontext() as recorder,
        open_mixture(open_stream, sources, steps, parallel.rank(), parallel.world_size()) as stream,
    ):
        train(
            config.train,
            objective,
            optimizer,
            guard.watch(stream),
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


def load_encoder(
    run_dir: Path | str, kind: Literal["video", "audio"] = "video", *, trained: bool = True
) -> Encoder:
    """A run's encoder, in evaluation mode, on the CPU.

    Args:
        run_dir: a run's folder.
        kind: which of its encoders.
        trained: with the newest checkpoint's weights; otherwise as the run began, for comparison.

    Returns:
        A module that gives `Features`: of video, float32[b 3 t h w], normalised as the run's
        augmentation does; of sound, float32[b s], mono at 16 kHz.

    Raises:
        ConfigError: the folder holds no run, no checkpoint, or no such encoder.
    """
    run_dir = Path(run_dir)
    config = read_run_config(run_dir)
    objective = build_objective(config)
    encoders = objective.encoders()
    if kind not in encoders:
        raise ConfigError(
            f"{run_dir} trained no {kind} encoder, but {' and '.join(sorted(encoders))}: "
            f"load_encoder(run, {min(encoders)!r})"
        )
    if trained:
        load_checkpoint(latest_checkpoint(run_dir), objective)
    else:
        start_encoders(config, objective)
    return encoders[kind].eval()


def start_encoders(config: RunConfig, objective: Objective) -> None:
    """Put the weights in place that `start` says the encoders begin with."""
    if config.start is None:
        return
    run_dir = Path(config.start.run)
    other = read_run_config(run_dir).model_dump(mode="json")
    own = config.model_dump(mode="json")
    for kind, encoder in objective.encoders().items():
        name = f"{kind}_encoder"
        if other[name] is None:
            raise ConfigError(f"start.run: {run_dir} has no {kind} encoder, and this run needs one")
        changed = differences(other[name], own[name], f"{name}.")
        if changed:
            listed = ", ".join(f"{path}: {change}" for path, change in changed.items())
            raise ConfigError(
                f"start.run: the {kind} encoder of {run_dir} is another one ({listed}); "
                f"make {name} as it is there"
            )
        trained = load_encoder(run_dir, "audio" if kind == "audio" else "video")
        encoder.load_state_dict(trained.state_dict())


def _found_from_anywhere(config: RunConfig) -> RunConfig:
    """The config with absolute paths, so that the run can be measured from another folder."""

    def resolved(part: _ReadFrom) -> _ReadFrom:
        named = (("catalog", part.catalog), ("keys", part.keys))
        absolute = {name: str(Path(path).resolve()) for name, path in named if path is not None}
        return part.model_copy(update=absolute)

    corpora = {name: resolved(corpus) for name, corpus in config.corpora.items()}
    start = config.start
    if start is not None:
        start = start.model_copy(update={"run": str(Path(start.run).resolve())})
    return config.model_copy(
        update={
            "data": resolved(config.data),
            "corpora": corpora,
            "objective": found_from_anywhere(config.objective),
            "start": start,
        }
    )


def _one_name_for_all(path: str) -> str:
    """`data.x` for `corpora.NAME.x`: what may change of one corpus may change of any."""
    return re.sub(r"^corpora\.[^.]+\.", "data.", path)


def _check_same_run(
    state: RunState, config: RunConfig, sources: Mapping[str, StreamSource], run_dir: Path
) -> None:
    changed = {
        path: change
        for path, change in differences(state.config, config.model_dump(mode="json")).items()
        if _one_name_for_all(path) not in MAY_CHANGE_ON_RESUME
    }
    if changed:
        listed = ", ".join(f"{path}: {change}" for path, change in changed.items())
        raise ConfigError(
            f"{run_dir} was made with another config ({listed}); choose another --out"
        )
    if state.data_digest != data_digest(sources.values()):
        paths = " or ".join(str(source.catalog.path) for source in sources.values())
        raise ConfigError(
            f"{paths} gives other items than those that {run_dir} was made with; "
            "resume with the same catalogue and filters, or choose another --out"
        )


def _forget_after(path: Path, step: int) -> None:
    """Leave the lines up to a step: those after it tell of weights that are gone."""
    if not path.is_file():
        return
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    # The last line may have been cut short when the run was killed.
    kept = [line for line in lines if line.endswith("\n") and json.loads(line)["step"] <= step]
    partial = path.with_name(path.name + ".partial")
    partial.write_text("".join(kept), encoding="utf-8")
    partial.replace(path)
