"""What a decode actor died of: its items one by one, until the culprit is known.

An actor dies for many reasons, and most are no file's fault: a node goes away, memory runs out, a
person kills it. So its part is made again, each item in a call of its own, and an item is given up
only when it was alone when the actor died, and more than once, or when it was alone and late. What was
late because its bytes did not come is not held against the item.
"""

import time
from collections.abc import Sequence
from dataclasses import replace

import ray
from ray.exceptions import RayError, RayTaskError

from avrep.cluster.decode_pool import DecodePool, Worker
from avrep.errors import AvrepError, MediaError
from avrep.pipeline.batches import next_attempt
from avrep.pipeline.example import StreamSource
from avrep.pipeline.plan import Plan, substitute
from avrep.pipeline.quarantine import KnownBad
from avrep.pipeline.reader import Order, Part, failure
from avrep.types import Batch, Failure

# Deaths of the actor with nothing but this item in hand. Chance does not strike twice.
_MAX_DEATHS = 2
# How much later than its deadline an item is before its actor is killed from outside.
_GRACE_S = 5.0


def own_error(error: RayError) -> Exception | None:
    """What a call of an actor raised, as the generator without Ray would have raised it.

    None where the actor is what is wrong: it is dead, or has no memory left, which whatever it has in
    hand may have taken.
    """
    if not isinstance(error, RayTaskError) or isinstance(error.cause, MemoryError):
        return None
    return error.cause if isinstance(error.cause, AvrepError) else error


class Isolation:
    """Reads items one by one, surviving what they do to their decoder."""

    def __init__(
        self, source: StreamSource, pool: DecodePool, known_bad: KnownBad, max_bytes: int
    ) -> None:
        self._source = source
        self._pool = pool
        self._known_bad = known_bad
        self._max_bytes = max_bytes

    def redo(self, step: int, orders: Sequence[Order], preferred: int) -> list[Part]:
        """A part for each order; of an item that failed in a sweep, one without rows."""
        return [self._read(step, order, preferred) for order in orders]

    def _read(self, step: int, order: Order, preferred: int) -> Part:
        failures: list[Failure] = []
        while True:
            result = self._read_candidate(step, order, preferred)
            if isinstance(result, Part):
                return Part(replace(result.batch, failures=tuple(failures)), 1)
            failures.append(result)
            self._known_bad.admit(result, step)
            plan = self._source.plan
            if not isinstance(plan, Plan):
                nothing = Batch(step=step, addresses=(), keys=(), views=())
                return Part(replace(nothing, failures=tuple(failures)), 1)
            attempt = next_attempt(plan, order.visit, order.attempt + 1, step, self._known_bad)
            order = replace(order, attempt=attempt)

    def _read_candidate(self, step: int, order: Order, preferred: int) -> Part | Failure:
        deadline_s = self._source.limits.deadline_s
        num_deaths = 0
        while True:
            worker = self._idle(preferred)
            asked_s = time.monotonic()
            ref = worker.actor.read_alone.remote(step, order, self._max_bytes)
            try:
                # For its bytes to come, and again for decoding them.
                result: Part | Failure = ray.get(ref, timeout=2 * deadline_s + _GRACE_S)
            except RayError as error:
                if own := own_error(error):
                    raise own from None
                is_late = time.monotonic() - asked_s >= deadline_s
                self._pool.replace(worker)
                num_deaths += 1
                # It was in an actor's hands once before, among others.
                if is_late or num_deaths == _MAX_DEATHS:
                    stage = "deadline" if is_late else "crash"
                    return self._given_up(order, worker, num_deaths + 1, stage)
                continue
            was_late = time.monotonic() - asked_s >= deadline_s
            if was_late and isinstance(result, Failure) and result.stage == "read":
                # A thread of it still waits for the store, and would hold up other items.
                self._pool.replace(worker)
                return replace(result, attempts=num_deaths + 2)
            return result

    def _idle(self, preferred: int) -> Worker:
        """A running actor that has answered all that it was asked, so that its death has one cause."""
        while True:
            worker = self._pool.running(preferred)
            try:
                ray.get(worker.actor.where.remote(), timeout=self._patience_s(worker))
            except RayError:
                self._pool.replace(worker)
            else:
                return worker

    def _patience_s(self, worker: Worker) -> float:
        """Long enough for all that it was asked for; one that takes longer is frozen."""
        return self._source.limits.deadline_s * (1 + worker.num_queued) + _GRACE_S

    def _given_up(self, order: Order, worker: Worker, attempts: int, stage: str) -> Failure:
        plan, catalog = self._source.plan, self._source.catalog
        address = order.visit.address
        if isinstance(plan, Plan):
            address = substitute(plan, address, order.attempt)
        reason = (
            f"no clip within {self._source.limits.deadline_s:g} s (data.limits.deadline_s)"
            if stage == "deadline"
            else "decoding it ends the process that decodes it"
        )
        return failure(
            address,
            catalog[address.item],
            catalog.root,
            MediaError(stage, reason),
            attempts=attempts,
            node=worker.where.host if worker.where else "",
        )
