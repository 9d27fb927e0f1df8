"""Runs as the command line starts them: on Ray where the config asks for decode actors."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from avrep.cluster.run_gauges import RunGauges
from avrep.cluster.session import ray_session
from avrep.cluster.stream import ray_stream
from avrep.cluster.stream_of import stream_of
from avrep.cluster.sweep import train_on_ray as train_side_by_side
from avrep.cluster.train import train_on_ray
from avrep.config import DataConfig, RunConfig
from avrep.errors import AvrepError
from avrep.evaluate import compare_measurements, find_task, measure_run
from avrep.evaluate_task import evaluate_task
from avrep.evaluation.action.split import GroupScope
from avrep.evaluation.protocols import ProtocolConfig
from avrep.evaluation.results import EvalRow, write_rows
from avrep.evaluation.task_result import TaskResult
from avrep.pipeline.stream import OpenStream, plain_stream
from avrep.pretrain import pretrain
from avrep.report.progress import count_progress, stage_progress, waiting
from avrep.report.train_progress import line_progress, train_progress
from avrep.task_request import TaskRequest
from avrep.trained import read_run_config
from avrep.training.loop import StepRecord
from avrep.training.stop import stop_signals


@contextmanager
def open_streams(config: DataConfig, num_streams: int = 1) -> Iterator[OpenStream]:
    """How to open streams as the config says; Ray is there while the context lasts, if needed.

    Args:
        config: which actors and budgets each of them has.
        num_streams: how many are open at a time.
    """
    with ExitStack() as stack:
        if config.num_decode_actors:
            with waiting("starting Ray"):
                num_slots = num_streams * config.most_decode_actors
                num_bytes = num_streams * config.prefetch_bytes
                stack.enter_context(ray_session(num_slots, num_bytes))
        yield stream_of(config)


def train_run(config: RunConfig, run_dir: Path, *, resume: bool = False) -> int | None:
    """Train in this process, or where the config asks for several trainers, in theirs.

    In this process, SIGINT and SIGTERM end the run with a checkpoint; see `stop_signals`.

    Returns:
        The signal that ended the run early.

    Raises:
        ConfigError, AvrepError: see `pretrain` and `train_on_ray`.
    """
    num_streams = config.train.num_workers * (1 + len(config.corpora))
    if config.train.num_workers == 1:
        with (
            open_streams(config.data, num_streams) as open_stream,
            # After Ray has started, for its own handler of SIGTERM ends the process on the spot.
            stop_signals() as asked,
            train_progress("training") as show,
        ):
            on_step = _told(show, run_dir) if config.data.num_decode_actors else show
            num_done = pretrain(
                config,
                run_dir,
                open_stream=open_stream,
                resume=resume,
                should_stop=asked,
                on_step=on_step,
            )
        return asked.number if num_done < config.train.num_steps else None
    num_slots = config.train.num_workers + num_streams * config.data.most_decode_actors
    with ExitStack() as stack:
        with waiting("starting Ray"):
            num_bytes = num_streams * config.data.prefetch_bytes
            can_grow = stack.enter_context(ray_session(num_slots, num_bytes))
        with line_progress("training") as on_line:
            train_on_ray(config, run_dir, resume=resume, on_line=on_line, can_grow=can_grow)
    return None


def _told(show: Callable[[StepRecord], None], run_dir: Path) -> Callable[[StepRecord], None]:
    """Each step shown here and told to Ray's endpoint."""
    gauges = RunGauges(run_dir)

    def on_step(record: StepRecord) -> None:
        show(record)
        gauges.add(record)

    return on_step


def evaluate_run(
    run_dir: Path,
    *,
    splits: Path | None = None,
    fold: int = 1,
    group_scope: GroupScope = "class",
    overrides: Sequence[str] = (),
) -> tuple[EvalRow, ...]:
    """Measure a run and write the rows to its `evaluation/` folder.

    Args:
        run_dir: the run's folder.
        splits: folder of split files, see `split_files_task`; None for the catalogue's labels.
        fold: which official split.
        group_scope: what a group's name means there.
        overrides: of the run's config, such as `data.catalog=...` or `evaluation.num_clips=10`.

    Raises:
        ConfigError: no such run, or see `find_task`.
    """
    config = read_run_config(run_dir, overrides)
    items = find_task(config, splits_dir=splits, fold=fold, group_scope=group_scope)
    protocols = ProtocolConfig()
    with open_streams(config.data) as stream, count_progress("embedding", "items") as progress:
        measured = measure_run(
            config,
            run_dir,
            items,
            protocols=protocols,
            open_stream=stream,
            progress=progress,
        )
    rows = compare_measurements([measured], protocols=protocols, seed=config.seed)
    write_rows(run_dir / "evaluation" / f"{items.name}.json", rows)
    return rows


def evaluate_tasks(
    requests: Sequence[TaskRequest],
    *,
    num_decode_actors: int = 0,
    on_refused: Callable[[TaskRequest, AvrepError | OSError], None] | None = None,
) -> tuple[TaskResult, ...]:
    """Measure an encoder by one task after another, and write the results; see `evaluate_task`.

    Heads at several learning rates are trained side by side, on Ray.

    Args:
        requests: what is to be measured.
        num_decode_actors: Ray actors that decode videos; 0: here.
        on_refused: told of a task that cannot be measured, be it for its data set, a broken file or a
            training that came to nothing, and the others go on; None: that ends it.

    Raises:
        AvrepError: see `evaluate_task` and `train_on_ray` of `avrep.cluster.sweep`.
        OSError: a file cannot be read or written.
    """
    searches = any(len(request.lrs) > 1 for request in requests)
    open_stream, train_all = plain_stream, train_side_by_side
    results: list[TaskResult] = []
    with ExitStack() as stack:
        if num_decode_actors or searches:
            with waiting("starting Ray"):
                can_grow = stack.enter_context(ray_session(num_decode_actors))
            train_all = partial(train_side_by_side, can_grow=can_grow)
        if num_decode_actors:
            open_stream = partial(ray_stream, num_actors=num_decode_actors)
        for request in requests:
            try:
                with stage_progress() as tell:
                    results += evaluate_task(
                        request, open_stream=open_stream, train_all=train_all, tell=tell
                    )
            except (AvrepError, OSError) as error:
                if on_refused is None:
                    raise
                on_refused(request, error)
    return tuple(results)
