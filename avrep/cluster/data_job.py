"""Work for the whole cluster: Ray Data jobs of tasks that write files and give back a few words."""

import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import ray.data

from avrep.errors import AvrepError, ShardError

Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Actors:
    """Workers that keep something between tasks."""

    num: int
    num_cpus: int = 1
    """Of each."""
    num_gpus: int = 0
    """Of each."""


def run_data_job(
    work: Callable[[Row], Row], tasks: Sequence[Row], num_workers: int | None = None
) -> Iterator[Row]:
    """Do the work of every task, each on one core, and give what came of it, in any order.

    Ray must be initialised.

    Args:
        work: from a task to what it gives back; it travels pickled.
        tasks: what Ray Data can hold in a row.
        num_workers: tasks at a time; as many as Ray has CPU slots when None.

    Raises:
        ShardError: with the words of the error that the work of a task ended in.
    """
    compute = ray.data.TaskPoolStrategy(num_workers)
    yield from _done(tasks, partial(_told, work=work), compute=compute, num_cpus=1)


def run_actor_job(
    start: Callable[[], Callable[[Row], Row]], tasks: Sequence[Row], actors: Actors
) -> Iterator[Row]:
    """`run_data_job` by actors that each get ready once, and then do one task after another.

    An actor that dies is replaced, and its task done again.

    Args:
        start: called once in each actor; gives what does a task there. It travels pickled.
        tasks: what Ray Data can hold in a row.
        actors: how many, and what each of them has of the cluster.

    Raises:
        ShardError: with the words of the error that a task, or getting ready for it, ended in.
    """
    compute = ray.data.ActorPoolStrategy(size=actors.num, max_tasks_in_flight_per_actor=1)
    yield from _done(
        tasks,
        _Worker,
        compute=compute,
        num_cpus=actors.num_cpus,
        num_gpus=actors.num_gpus,
        fn_constructor_args=(start,),
    )


def _done(tasks: Sequence[Row], work: Any, **how: Any) -> Iterator[Row]:
    if not tasks:
        return
    with _quiet_ray_data():
        data = ray.data.from_items(list(tasks), override_num_blocks=len(tasks))
        data.context.enable_progress_bars = False
        for row in data.map(work, **how).iter_rows():
            error = row.pop("error")
            if error:
                raise ShardError(error)
            yield row


class _Worker:
    """The body of an actor."""

    def __init__(self, start: Callable[[], Callable[[Row], Row]]) -> None:
        self._start = start
        self._work: Callable[[Row], Row] | None = None

    def __call__(self, task: Row) -> Row:
        return _told(task, work=self._ready)

    def _ready(self, task: Row) -> Row:
        # Not when it is made: Ray would make an actor that cannot get ready again and again.
        if self._work is None:
            self._work = self._start()
        return self._work(task)


def _told(task: Row, *, work: Callable[[Row], Row]) -> Row:
    """An error comes back as a value: Ray Data keeps only the text of one raised."""
    try:
        return {**work(task), "error": ""}
    except (AvrepError, OSError) as raised:
        return {"error": " ".join(str(raised).split())}


@contextmanager
def _quiet_ray_data() -> Iterator[None]:
    """Progress is ours to show, and so are errors."""
    with warnings.catch_warnings():
        # Ray Data's own context sets fields that Ray Data itself has deprecated.
        warnings.simplefilter("ignore", DeprecationWarning)
        ray.data.DataContext.get_current()
    logger = logging.getLogger("ray.data")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)
