"""Training with several trainers through Ray Train: each is a rank of `avrep.pretrain.pretrain`.

The run's folder must be one that all nodes see. Each trainer has decode actors of its own. When one
dies, Ray starts all of them again, and they go on from the newest checkpoint.
"""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ray.train
import torch.distributed as dist
from ray.train.torch import TorchConfig, TorchTrainer
from ray.train.v2.api.exceptions import TrainingFailedError

from avrep.assemble import build_objective, check_catalogs, checkpoint_store, training_sources
from avrep.cluster.appended_lines import AppendedLines
from avrep.cluster.ended import forget_end, noting_end, why_ended
from avrep.cluster.even_ranks import (
    COLLECTIVE_WITHIN_S,
    keep_even_ranks,
    num_even_ranks,
    visits_of_corpora,
)
from avrep.cluster.gpus import registered_gpus, takes_gpus, wait_notice
from avrep.cluster.run_gauges import RunGauges
from avrep.cluster.stream_of import stream_of
from avrep.config import RunConfig, parse_config
from avrep.errors import AvrepError, ConfigError, StepNotFinite
from avrep.pipeline.plan import visits
from avrep.pretrain import pretrain, with_absolute_paths
from avrep.resume import check_same_run
from avrep.training.checkpoint import read_state
from avrep.training.guard import told, why_stopped
from avrep.training.parallel import sum_over_ranks

Told = Callable[[str], None]
"""Called with each new line of `metrics.jsonl`."""

_LOOK_EVERY_S = 0.5
RESIZE_EVERY_S = 60.0
"""With `train.min_workers`, how often more trainers are started if there is room for them."""

_log = logging.getLogger(__name__)


def train_on_ray(
    config: RunConfig,
    run_dir: Path,
    *,
    resume: bool = False,
    on_line: Told | None = None,
    can_grow: bool = True,
) -> None:
    """Train with `train.num_workers` trainers; Ray must be there.

    Args:
        config: what to train on what.
        run_dir: the run's folder, seen by all nodes; new, unless `resume`.
        resume: go on from the newest checkpoint.
        on_line: told what is logged, as it is logged.
        can_grow: whether nodes may still come; GPUs that are not there yet are waited for then.

    Raises:
        ConfigError: the folder holds a run already and `resume` is not set, or none and it is set;
            there are fewer GPUs than trainers, and none will come; or what the trainers refuse.
        FailureBudgetExceeded: too many items could not be used.
        StepNotFinite: a loss or a gradient was not finite; the step and its clips are named.
        AvrepError: trainers died more often than `train.max_restarts` allows.
    """
    run_dir, config = run_dir.resolve(), with_absolute_paths(config)
    _check(config, run_dir, resume)
    use_gpu = _use_gpu(config, can_grow=can_grow)
    forget_end(run_dir)
    trainer = TorchTrainer(
        _train_as_rank,
        train_loop_config={
            "config": config.model_dump(mode="json"),
            "run_dir": str(run_dir),
            "must_resume": resume,
            # By what Ray gives. A trainer that asked its machine would find GPUs that are others'.
            "device": "cuda" if use_gpu else "cpu",
        },
        torch_config=TorchConfig("nccl" if use_gpu else "gloo", timeout_s=COLLECTIVE_WITHIN_S),
        scaling_config=_scaling(config, use_gpu),
        run_config=ray.train.RunConfig(
            name="ray_train",
            storage_path=str(run_dir),
            failure_config=ray.train.FailureConfig(max_failures=config.train.max_restarts),
            callbacks=[_EndAtOnce(run_dir)],
        ),
    )
    with _following(run_dir / "metrics.jsonl", on_line):
        try:
            trainer.fit()
        except TrainingFailedError as error:
            raise why_ended(run_dir) or _told_plainly(error) from error
    if ended := why_ended(run_dir):
        raise ended
    if incident := why_stopped(run_dir):
        raise StepNotFinite(told(incident, run_dir))


class _EndAtOnce(ray.train.UserCallback):
    """Spares a restart that would mend nothing.

    Ray has no way to say so but an error in its controller, which calls this and is not started again.
    """

    def __init__(self, run_dir: Path) -> None:
        self._run_dir = run_dir

    def after_exception(self, run_context: object, worker_exceptions: object) -> None:
        del run_context, worker_exceptions
        if ended := why_ended(self._run_dir):
            raise ended


def _check(config: RunConfig, run_dir: Path, resume: bool) -> None:
    """Refuse at once what trainers would refuse whenever Ray starts them again."""
    store = checkpoint_store(config, run_dir)
    if store.checkpoints() and not resume:
        raise ConfigError(f"{run_dir} holds a run already; add --resume, or choose another --out")
    objective = build_objective(config)
    sources = training_sources(config, objective)
    check_catalogs(objective, sources)
    if resume:
        check_same_run(read_state(store.latest()), config, sources, run_dir)
    for source in sources.values():
        for number in (config.train.num_workers, config.train.min_workers or 1):
            visits(source.plan, 0, 0, number)


def _use_gpu(config: RunConfig, *, can_grow: bool) -> bool:
    """Whether each trainer has a GPU; a person is told if it has to wait for one.

    Raises:
        ConfigError: it would wait for ever.
    """
    train, gpus = config.train, registered_gpus(can_grow=can_grow)
    if not takes_gpus(train.device, gpus.num):
        return False
    least = train.min_workers or train.num_workers
    asked = "train.min_workers" if train.min_workers else "train.num_workers"
    mend = "lower it, or set train.device=cpu"
    if notice := wait_notice(least, gpus, asked=f"{asked}={least}", mend=mend):
        _log.warning(notice)
    return True


def _scaling(config: RunConfig, use_gpu: bool) -> ray.train.ScalingConfig:
    most, least = config.train.num_workers, config.train.min_workers
    if least is None:
        return ray.train.ScalingConfig(num_workers=most, use_gpu=use_gpu)
    return ray.train.ScalingConfig(
        num_workers=(least, most),
        use_gpu=use_gpu,
        elastic_resize_monitor_interval_s=RESIZE_EVERY_S,
    )


def _train_as_rank(given: dict[str, Any]) -> None:
    config = parse_config(given["config"], "the run's config")
    run_dir = Path(given["run_dir"])
    # Started again where that mends nothing; on a shared file system not all may see the note yet.
    if sum_over_ranks([why_ended(run_dir) is not None])[0]:
        return
    if not keep_even_ranks(num_even_ranks(visits_of_corpora(config), dist.get_world_size())):
        return
    # After a death there may be a checkpoint where there was none at the start.
    resume = bool(given["must_resume"] or checkpoint_store(config, run_dir).checkpoints())
    gauges = RunGauges(run_dir)
    try:
        with noting_end(run_dir):
            pretrain(
                config,
                run_dir,
                open_stream=stream_of(config.data),
                device_name=given["device"],
                resume=resume,
                on_step=gauges.add,
            )
    except StepNotFinite:
        # All of them come here; started again, they would again. The driver reads why.
        return


def _told_plainly(error: TrainingFailedError) -> AvrepError:
    """The trainers' own error, if it is one of avrep's; else that they died."""
    failures = getattr(error, "worker_failures", {})
    for failure in failures.values():
        cause = getattr(failure, "cause", failure)
        if isinstance(cause, AvrepError):
            return cause
    last = [line for line in str(error).splitlines() if line.strip()]
    return AvrepError(f"the trainers died: {last[-1].strip() if last else type(error).__name__}")


@contextmanager
def _following(path: Path, on_line: Told | None) -> Iterator[None]:
    """Hand on what is appended to a file while the context lasts."""
    if on_line is None:
        yield
        return
    over = threading.Event()
    lines = AppendedLines(path)
    thread = threading.Thread(target=_follow, args=(lines, on_line, over), daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _follow(lines: AppendedLines, on_line: Told, over: threading.Event) -> None:
    is_last = False
    while not is_last:
        is_last = over.wait(_LOOK_EVERY_S)
        for line in lines.new():
            on_line(line)
