"""Decode actors: each is a `pipeline.reader.Reader` in a process that may die at any moment.

An actor holds no state but where the corpus is and what it fetched ahead. Its module imports no
torch, so a replacement is there in a fraction of a second.
"""

import logging
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any
from weakref import WeakSet

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from avrep.cluster.end_process import Whereabouts, end_process, whereabouts
from avrep.cluster.pool_gauges import PoolGauges
from avrep.cluster.session import this_node
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
# An actor that the pool is grown by is there in a second, or as soon as there is a slot for it.
_ROOM_WITHIN_S = 60.0
_ASK_AGAIN_S = 600.0

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
            patience_s=source.limits.deadline_s,
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
    asked_s: float
    """When it was asked for, by this process's clock."""
    where: Whereabouts | None = None
    """None while it is starting."""
    num_queued: int = 0
    """Visits that it was asked for and that were not collected."""


class DecodePool:
    """A trainer's decode actors, each on one CPU slot; a dead one is replaced.

    They are on the trainer's own node as far as that has slots, and spread over the others else.

    Args:
        source: what they read.
        num_actors: how many there are at first, and at least.
        read_ahead_bytes: budget of each of the bytes that it fetches ahead.
        max_actors: how many there may be; None: as many as at first.
    """

    def __init__(
        self,
        source: StreamSource,
        num_actors: int,
        read_ahead_bytes: int,
        max_actors: int | None = None,
    ) -> None:
        self.least = num_actors
        self.most = num_actors if max_actors is None else max_actors
        # What is known to be bad is the trainer's business, and may be a long list.
        self._source = ray.put(replace(source, known_bad=KnownBad()))
        self._read_ahead_bytes = read_ahead_bytes
        here = this_node()
        self._here, self._num_slots_here = here["NodeID"], int(here["Resources"].get("CPU", 0))
        self._num_failed_starts = 0
        self._workers = [self._start(number) for number in range(num_actors)]
        self._coming: list[Worker] = []
        self._leaving: list[Worker] = []
        self._no_room_until_s = -math.inf
        self._gauges = PoolGauges(str(source.catalog.path))
        self._tell()
        _POOLS.add(self)

    def __len__(self) -> int:
        return len(self._workers)

    @property
    def is_changing(self) -> bool:
        """Whether actors that it was grown by do not run yet, or some that it lets go still do."""
        return bool(self._coming or self._leaving)

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
                # Ray gives the slot of one that died to whoever asked first, and while this trainer
                # waits here, none of its pools takes in those that it was to be grown by.
                for pool in list(_POOLS):
                    pool.withdraw()
            wanted = self._workers[preferred % len(self._workers)]

    def replace(self, worker: Worker) -> None:
        """Start another in the place of one that is dead or must die; of one that leaves, none."""
        if worker not in (*self._workers, *self._leaving):
            return
        ray.kill(worker.actor)
        if worker.where:
            end_process(worker.where)
        if worker in self._leaving:
            self._leaving.remove(worker)
            return
        number = self._workers.index(worker)
        self._workers[number] = self._start(number)
        self._gauges.replaced()
        self._tell()

    def grow(self, num_actors: int) -> None:
        """Ask for so many more, which `tend` takes in as they come up.

        None is waited for: without room in the cluster the pool stays as it is, and for a while no
        more are asked for.
        """
        if time.monotonic() < self._no_room_until_s:
            return
        first = len(self._workers) + len(self._coming)
        self._coming += [self._start(number) for number in range(first, first + num_actors)]
        self._tell()

    def withdraw(self) -> None:
        """Do without those that the pool was to be grown by."""
        for worker in list(self._coming):
            self._give_up(worker, "a stream of this trainer has none")

    def shrink(self, num_actors: int) -> None:
        """Ask so many for nothing more; `tend` ends each when all that it was asked for is collected.

        As many as there must be at least stay.
        """
        for _ in range(min(num_actors, len(self) - self.least)):
            idle = [worker for worker in self._workers if worker.starting is not None]
            worker = (idle or self._workers)[-1]
            self._workers.remove(worker)
            self._leaving.append(worker)
        self._tell()

    def tend(self) -> None:
        """Take in those that have come up, end those that have nothing left to do."""
        if not self.is_changing:
            return
        for worker in list(self._coming):
            if worker.starting is not None and ray.wait([worker.starting], timeout=0)[0]:
                self._take_in(worker, worker.starting)
            elif time.monotonic() - worker.asked_s > _ROOM_WITHIN_S:
                self._give_up(worker, "no room in the cluster")
        for worker in [worker for worker in self._leaving if not worker.num_queued]:
            self._leaving.remove(worker)
            _end(worker)
        self._tell()

    def stop(self) -> None:
        """Let each actor finish what it is decoding, then end."""
        _POOLS.discard(self)
        for worker in (*self._workers, *self._coming, *self._leaving):
            _end(worker)
        self._gauges.tell(num_running=0, num_starting=0)

    def _tell(self) -> None:
        starting = [worker for worker in self._workers if worker.starting is not None]
        num_running = len(self._workers) - len(starting)
        self._gauges.tell(num_running, len(starting) + len(self._coming))

    def _start(self, number: int) -> Worker:
        # Ray's types know neither these options nor the methods of an actor. Calls are not redone
        # by Ray: what a dead actor was asked for is redone item by item, to find the culprit.
        actor_class: Any = ray.remote(num_cpus=1, max_restarts=0, max_task_retries=0)(DecodeWorker)
        placed = actor_class.options(scheduling_strategy=self._place(number))
        actor = placed.remote(self._source, self._read_ahead_bytes)
        return Worker(actor, actor.where.remote(), time.monotonic())

    def _place(self, number: int) -> NodeAffinitySchedulingStrategy | str:
        if number >= self._num_slots_here:
            return "SPREAD"
        # Others may have taken the slots: soft alone would wait for as long as they keep them.
        return NodeAffinitySchedulingStrategy(self._here, soft=True, _spill_on_unavailable=True)

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

    def _take_in(self, worker: Worker, starting: ray.ObjectRef) -> None:
        """Let one that the pool was grown by decode, unless it ended on the way."""
        try:
            worker.where = ray.get(starting)
        except RayError as error:
            self._give_up(worker, _reason(error))
        else:
            worker.starting = None
            self._not_coming(worker)
            self._workers.append(worker)

    def _give_up(self, worker: Worker, reason: str) -> None:
        """Do without one that the pool was to be grown by."""
        self._not_coming(worker)
        _end(worker)
        now_s = time.monotonic()
        if now_s >= self._no_room_until_s:
            _log.warning(
                "no more decode actors than %d for %.0f s: %s", len(self), _ASK_AGAIN_S, reason
            )
        self._no_room_until_s = now_s + _ASK_AGAIN_S

    def _not_coming(self, worker: Worker) -> None:
        self._coming = [other for other in self._coming if other is not worker]


# Of this process: a mixture has one for each corpus.
_POOLS: WeakSet[DecodePool] = WeakSet()


def _end(worker: Worker) -> None:
    """Let it finish what it is decoding; one that does not run yet has nothing to finish."""
    if worker.starting is None:
        worker.actor.__ray_terminate__.remote()
    else:
        ray.kill(worker.actor)


def _reason(error: RayError) -> str:
    """The last line of what Ray says: the error itself, beneath its traceback."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
