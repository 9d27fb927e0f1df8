"""Work for the whole cluster: a Ray Data job of tasks that write files and give back a few words."""

import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import ray.data

from avrep.errors import AvrepError, ShardError

Row = dict[str, Any]


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
    if not tasks:
        return
    with _quiet_ray_data():
        data = ray.data.from_items(list(tasks), override_num_blocks=len(tasks))
        data.context.enable_progress_bars = False
        compute = ray.data.TaskPoolStrategy(num_workers)
        done = data.map(partial(_told, work=work), num_cpus=1, compute=compute)
        for row in done.iter_rows():
            error = row.pop("error")
            if error:
                raise ShardError(error)
            yield row


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
