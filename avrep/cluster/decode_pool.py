"""Decode actors: each is a `pipeline.reader.Reader` in a process that may die at any moment.

An actor holds no state but where the corpus is and what it fetched ahead. Its module imports no
torch, so a replacement is there in a fraction of a second.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import ray
from ray.exceptions import RayError

from avrep.cluster.end_process import Whereabouts, end_process, whereabouts
from avrep.cluster.pool_gauges import PoolGauges
from avrep.errors import AvrepError
from avrep.media.deadline import ended_after
from avrep.media.memory import limit_memory, reuse_freed_memory
from avrep.pipeline.example import StreamSource
from avrep.pipeline.quarantine import KnownBad
from avrep.pipeline.reader import Order, Part, Reader
from avrep.types import Failure

# Starts that may fail in a row, of each actor, before no file but the machine is to blame.
_MAX_FAILED_STARTS = 3
_SAY_WAITING_EVERY_S = 30.0

_log = logging.getLogger(__name__)


class DecodeWorker:
    """The body of a decode actor."""

    def __init__(self, source: StreamSource, read_ahead_bytes: int) -> None:
        reuse_freed_memory()
        limit_memory(source.limits.max_memory_bytes)
        self._reader = Reader(
            source,
            read_ahead_bytes=read_ahead_bytes,
            watch=partial(ended_after, source.limits.deadline_s),
        )

    def where(self) -> Whereabouts:
        return whereabouts()

    def read(self, step: int, orders: Sequence[Order], max_bytes: int) -> Part:
        return self._reader.read(step, orders, max_bytes)

    def read_alone(self, step: int, order: Order, max_bytes: int) -> Part | Failure:
        return self._reader.read_alone(step, order, max_bytes)


@dataclass(slots=True, eq=False)
class Worker:
    """A decode actor as its trainer sees it."""

    actor: Any
    starting: ray.ObjectRef | None
    """Pending until the actor runs."""
    where: Whereabouts | None = None
    """None while it is starting."""
    num_queued: int = 0
    """Visits that it was asked for and that were not collected."""


class DecodePool:
    """A trainer's decode actors, each on one CPU slot; a dead one is replaced."""

    def __init__(self, source: StreamSource, num_actors: int, read_ahead_bytes: int) -> None:
        # What is known to be bad is the trainer's business, and may be a long list.
        self._source = ray.put(replace(source, known_bad=KnownBad()))
        self._read_ahead_bytes = read_ahead_bytes
        self._num_failed_starts = 0
        self._workers = [self._start() for _ in range(num_actors)]
        self._gauges = PoolGauges(str(source.catalog.path))
        self._tell()

    def __len__(self) -> int:
        return len(self._workers)

    def running(self, preferred: int) -> Worker:
        """The actor of that number, or, while it is starting, the running one with least to do.

        Waits while none runs.

        Raises:
            AvrepError: actors end as soon as they start.
        """
        wanted = self._workers[preferred % len(self._workers)]
        while True:
            for worker in self._workers:
                self._check(worker, timeout_s=0)
            if wanted.starting is None:
                return wanted
            running = [worker for worker in self._workers if worker.starting is None]
            if running:
                return min(running, key=lambda worker: worker.num_queued)
            pending = [w.starting for w in self._workers if w.starting is not None]
            if not ray.wait(pending, timeout=_SAY_WAITING_EVERY_S)[0]:
                _log.warning("no decode actor runs yet; is a CPU slot free? see ray status")
            wanted = self._workers[preferred % len(self._workers)]

    def replace(self, worker: Worker) -> None:
        """Start another in the place of one that is dead or must die."""
        if worker in self._workers:
            ray.kill(worker.actor)
            if worker.where:
                end_process(worker.where)
            self._workers[self._workers.index(worker)] = self._start()
            self._gauges.replaced()
            self._tell()

    def stop(self) -> None:
        """Let each actor finish what it is decoding, then end."""
        for worker in self._workers:
            worker.actor.__ray_terminate__.remote()
        self._gauges.tell(num_running=0, num_starting=0)

    def _tell(self) -> None:
        num_starting = sum(worker.starting is not None for worker in self._workers)
        self._gauges.tell(len(self._workers) - num_starting, num_starting)

    def _start(self) -> Worker:
        # Ray's types know neither these options nor the methods of an actor. Calls are not redone
        # by Ray: what a dead actor was asked for is redone item by item, to find the culprit.
        actor_class: Any = ray.remote(num_cpus=1, max_restarts=0, max_task_retries=0)(DecodeWorker)
        actor = actor_class.remote(self._source, self._read_ahead_bytes)
        return Worker(actor, actor.where.remote())

    def _check(self, worker: Worker, timeout_s: float) -> None:
        """Note that an actor has come up, or start another where it died on the way."""
        if worker.starting is None or not ray.wait([worker.starting], timeout=timeout_s)[0]:
            return
        try:
            worker.where = ray.get(worker.starting)
        except RayError as error:
            self._num_failed_starts += 1
            if self._num_failed_starts >= _MAX_FAILED_STARTS * len(self._workers):
                raise AvrepError(
                    f"decode actors end as soon as they start: {_reason(error)}"
                ) from error
            self.replace(worker)
        else:
            self._num_failed_starts = 0
            worker.starting = None
            self._tell()


def _reason(error: RayError) -> str:
    """The last line of what Ray says: the error itself, beneath its traceback."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
