"""A pretraining run: from a config to a folder of checkpoints, metrics and records.

RUN/
    config.yaml         every value that ran
    environment.json    versions, device, commit
    metrics.jsonl       one line a logged step
    tensorboard/        the same numbers
    incidents/          see avrep.training.guard
    quarantine/ ledger/ health.json     see avrep.account
    checkpoints/        see avrep.training.checkpoint; elsewhere if `train.checkpoint_store` says so
"""

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from avrep.account import Account, write_json
from avrep.assemble import (
    MAIN_CORPUS,
    build_objective,
    check_catalogs,
    checkpoint_store,
    corpus_folder,
    data_digest,
    training_sources,
    use_threads,
)
from avrep.config import CorpusConfig, DataConfig, RunConfig, dump_config
from avrep.environment import describe_environment, package_versions
from avrep.errors import ConfigError
from avrep.media.put_in_place import write_in_place
from avrep.methods import found_from_anywhere
from avrep.online_probe import OnlineProbe
from avrep.pipeline.quarantine import KnownBad, read_quarantine, release
from avrep.pipeline.stream import OpenStream, open_mixture, plain_stream
from avrep.resume import check_same_run, forget_after
from avrep.trained import start_encoders
from avrep.training import parallel
from avrep.training.checkpoint import RunState, load_checkpoint, read_state
from avrep.training.checkpoint_writer import CheckpointWriter
from avrep.training.copy_ahead import CopyAhead
from avrep.training.guard import guarded
from avrep.training.loop import StepRecord, train
from avrep.training.optim import build_optimizer, layer_scales
from avrep.training.parallel import DeviceName
from avrep.training.prepare import prepare
from avrep.training.recorder import Recorder, memory_numbers, numbers
from avrep.training.retention import LoggedMean
from avrep.types import Batch

_ReadFrom = TypeVar("_ReadFrom", DataConfig, CorpusConfig)


def pretrain(
    config: RunConfig,
    run_dir: Path,
    *,
    open_stream: OpenStream = plain_stream,
    device_name: DeviceName | None = None,
    resume: bool = False,
    stop_after: int | None = None,
    should_stop: Callable[[], bool] | None = None,
    on_step: Callable[[StepRecord], None] | None = None,
) -> int:
    """Train as the config says, from the start or from the newest checkpoint.

    Where `torch.distributed` is initialised this is one rank of several, and all of them call it,
    with a folder that all of them see, each with a GPU of its own as torch's current one.

    Args:
        config: what to train on what.
        run_dir: the run's folder; new, unless `resume`.
        open_stream: the plain stream, or Ray's.
        device_name: where to train; None: as `train.device` says.
        resume: go on from the newest checkpoint.
        stop_after: stop, with a checkpoint, when this many steps are done; the schedule still ends
            at `train.num_steps`.
        should_stop: asked after each step; when true, the run stops as it does after `stop_after`.
            All ranks must be told the same.
        on_step: called after each step by the first rank, for a progress line.

    Returns:
        How many steps are done.

    Raises:
        ConfigError: the folder holds a run already and `resume` is not set; or the run resumed is
            of another config or catalogue.
        FailureBudgetExceeded: too many items could not be used.
        StepNotFinite: a loss or a gradient was not finite; the step and its clips are named.
        OSError, ShardError: a checkpoint could not be written.
    """
    config = with_absolute_paths(config)
    device = parallel.pick_device(device_name or config.train.device)
    use_threads(config)
    objective = build_objective(config).to(device)
    if not resume:
        start_encoders(config, objective)
    prepare(objective, config.train, device)
    lr_scales = layer_scales(objective.encoders(), config.train.optim.layer_decay)
    optimizer = build_optimizer(objective.named_parameters(), config.train.optim, lr_scales)
    sources = training_sources(config, objective)
    check_catalogs(objective, sources)
    folders = {name: corpus_folder(run_dir, name) for name in sources}
    digest = data_digest(sources.values())
    store = checkpoint_store(config, run_dir)
    begun: RunState | None = None
    if resume:
        checkpoint = store.latest()
        check_same_run(read_state(checkpoint), config, sources, run_dir)
        begun = load_checkpoint(checkpoint, objective, optimizer)
    elif store.checkpoints():
        raise ConfigError(f"{run_dir} holds a run already; add --resume, or choose another --out")
    else:
        if parallel.is_first():
            # Of a run that ended before its first checkpoint.
            for folder in folders.values():
                release(folder)
    first_step = begun.step if begun else 0
    if parallel.is_first():
        run_dir.mkdir(parents=True, exist_ok=True)
        write_in_place(dump_config(config), run_dir / "config.yaml")
        write_json(run_dir / "environment.json", describe_environment(device))
        forget_after(run_dir / "metrics.jsonl", first_step)
    parallel.wait_for_all()
    if parallel.is_first():
        # No rank reads any more what a killed run left, and none writes yet.
        store.remove_torn()
    sources = {
        name: replace(source, known_bad=KnownBad(read_quarantine(folders[name])))
        for name, source in sources.items()
    }

    done, stopped = first_step, False
    last_step = min(config.train.num_steps, stop_after or config.train.num_steps)
    counted = begun.counts if begun else {}
    accounts = {
        name: Account(
            config.data, folders[name], source, first_step, parallel.rank(), counted.get(name)
        )
        for name, source in sources.items()
    }
    window: list[StepRecord] = []
    probe = OnlineProbe(config, objective, device, open_stream)
    logged = LoggedMean()

    def after_step(record: StepRecord) -> None:
        nonlocal done, stopped
        guard.check(record)
        done, stopped = record.step, bool(should_stop and should_stop())
        is_last = stopped or record.step == last_step
        probed = probe.measure(record.step)
        for name, account in accounts.items():
            account.add(record.batch if name == MAIN_CORPUS else record.batch.others[name])
        window.append(record)
        if probed or record.step % config.train.log_every_steps == 0 or is_last:
            told = numbers(window) | memory_numbers(device) | probed
            logged.add(told)
            if recorder:
                recorder.write(record.step, told)
            window.clear()
        if record.step % config.train.checkpoint_every_steps == 0 or is_last:
            state = RunState(
                step=record.step,
                config=config.model_dump(mode="json"),
                versions=package_versions(),
                data_digest=digest,
                metrics=logged.take(),
                # Each rank's ledger is written before its part of the checkpoint.
                counts={name: account.write(record.step) for name, account in accounts.items()},
            )
            writer.save(state, objective, optimizer)
            if parallel.is_first() and not is_last:
                logged.check_named(config.train.keep_best)
        if on_step and parallel.is_first():
            on_step(record)

    def until_stopped(batches: Iterator[Batch]) -> Iterator[Batch]:
        for batch in batches:
            yield batch
            if stopped:
                return

    steps = range(first_step, last_step)
    with (
        guarded(
            run_dir, config.train.spikes, first_step=first_step, main_corpus=MAIN_CORPUS
        ) as guard,
        CheckpointWriter(store, config.train.keep_checkpoints, config.train.keep_best) as writer,
        Recorder(run_dir, first_step) if parallel.is_first() else nullcontext() as recorder,
        open_mixture(open_stream, sources, steps, parallel.rank(), parallel.world_size()) as stream,
        CopyAhead(device) as copies,
    ):
        train(
            config.train,
            objective,
            optimizer,
            guard.watch(until_stopped(copies.ahead(stream))),
            seed=config.seed,
            device=device,
            on_step=after_step,
            move=copies.take,
        )
    return done


def with_absolute_paths(config: RunConfig) -> RunConfig:
    """The config as it is found from anywhere: trained by processes and measured from folders that
    are elsewhere.
    """

    def resolved(part: _ReadFrom) -> _ReadFrom:
        named = (("catalog", part.catalog), ("keys", part.keys))
        absolute = {name: str(Path(path).resolve()) for name, path in named if path is not None}
        if part.root is not None and "://" not in part.root:
            absolute["root"] = str(Path(part.root).resolve())
        return part.model_copy(update=absolute)

    corpora = {name: resolved(corpus) for name, corpus in config.corpora.items()}
    store = config.train.checkpoint_store
    if store is not None and "::" not in store and "://" not in store:
        store = str(Path(store).resolve())
    start = config.start
    if start is not None:
        start = start.model_copy(update={"run": str(Path(start.run).resolve())})
    return config.model_copy(
        update={
            "data": resolved(config.data),
            "corpora": corpora,
            "objective": found_from_anywhere(config.objective),
            "start": start,
            "train": config.train.model_copy(update={"checkpoint_store": store}),
        }
    )
