"""Steps in order from many decode actors, whatever dies, with bounded bytes in flight.

A step is cut into parts, contiguous pieces of its visits, so that every actor has a hand in it and
reads few blocks (`pipeline.share`). Parts are asked for and collected in order; which actor made one does not matter.
"""

import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass, replace
from itertools import pairwise

import ray
from ray.exceptions import RayError

from avrep.cluster.decode_pool import DecodePool, Worker
from avrep.cluster.isolate import Isolation, own_error
from avrep.cluster.pool_size import PoolSizer
from avrep.cluster.session import check_store
from avrep.pipeline.batches import place_orders
from avrep.pipeline.collate import Joiner
from avrep.pipeline.example import StreamSource, expected_bytes
from avrep.pipeline.fetch import READ_AHEAD_BYTES
from avrep.pipeline.plan import Plan, visits
from avrep.pipeline.reader import Order, Part
from avrep.pipeline.share import cuts
from avrep.pipeline.stream import PREFETCH_BYTES
from avrep.types import Batch

# Per actor: one being made, one to go on with, one that waits for its turn.
_PARTS_PER_ACTOR = 3
# A part of fewer visits costs more in messages than it gains by sharing out.
_MIN_VISITS = 4


@contextmanager
def ray_stream(
    source: StreamSource,
    steps: range,
    rank: int = 0,
    world_size: int = 1,
    *,
    num_actors: int = 2,
    max_actors: int | None = None,
    prefetch_bytes: int = PREFETCH_BYTES,
    read_ahead_bytes: int = READ_AHEAD_BYTES,
) -> Iterator[Iterator[Batch]]:
    """The batches that `pipeline.batches.batches` yields, decoded by Ray actors.

    Results depend neither on the number of actors, which changes between its bounds with what the
    trainer waits (`avrep.cluster.pool_size`), nor on what dies. Ray must be initialised. The actors
    live as long as the context.

    Args:
        source: what to read and how.
        steps: which steps, in which order.
        rank: this trainer's rank.
        world_size: number of trainers that share each step.
        num_actors: decode actors of this trainer, at first and at least.
        max_actors: how many there may be; None: as many as at first.
        prefetch_bytes: hard budget of the clips made or being made ahead of the trainer. Ray takes
            up to a second to free what was handed on and let go.
        read_ahead_bytes: budget, for each actor, of the bytes that it fetches ahead.

    Raises (the iterator):
        FailureBudgetExceeded: an item and all its substitutes failed.
        AvrepError: decode actors cannot start.

    Raises:
        ConfigError: Ray's object store has no room for the budget.
    """
    check_store(prefetch_bytes)
    pool = DecodePool(source, num_actors, read_ahead_bytes, max_actors)
    conductor = _Conductor(source, pool, prefetch_bytes, (rank, world_size))
    try:
        yield conductor.batches(steps)
    finally:
        conductor.cancel()
        pool.stop()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Piece:
    """A part of a step, as it is asked for."""

    step: int
    orders: Sequence[Order]
    preferred: int
    """The actor that has been reading these blocks."""
    is_last: bool
    """The step ends with it."""
    num_rows: int
    """Of the whole step."""


@dataclass(frozen=True, slots=True, eq=False)
class _Asked:
    """A piece, and who was asked for it."""

    piece: _Piece
    worker: Worker
    ref: ray.ObjectRef


class _Conductor:
    def __init__(
        self,
        source: StreamSource,
        pool: DecodePool,
        prefetch_bytes: int,
        place: tuple[int, int],
    ) -> None:
        self._source = source
        self._pool = pool
        self._sizer = PoolSizer(pool)
        self._place = place
        self._known_bad = source.known_bad.copy()
        # Of the largest pool that there may be, so that whether an item fits depends on no moment.
        self._max_bytes = max(1, prefetch_bytes // (_PARTS_PER_ACTOR * pool.most))
        self._num_draws = source.plan.draws_per_visit if isinstance(source.plan, Plan) else 1
        self._visit_bytes = expected_bytes(source)
        self._in_flight: deque[_Asked] = deque()
        self._isolation = Isolation(source, pool, self._known_bad, self._max_bytes)

    def batches(self, steps: range) -> Iterator[Batch]:
        upcoming = self._parts(steps)
        for _ in steps:
            yield self._timed_step(upcoming)

    def _timed_step(self, upcoming: Iterator[_Asked]) -> Batch:
        asked_s = time.perf_counter()
        batch = self._next_step(upcoming)
        num_decoders = len(self._pool)
        self._sizer.given(time.perf_counter() - asked_s, busy_s=sum(astuple(batch.spent)))
        return replace(batch, num_decoders=num_decoders)

    def _next_step(self, upcoming: Iterator[_Asked]) -> Batch:
        joiner: Joiner | None = None
        while True:
            most = _PARTS_PER_ACTOR * len(self._pool)
            while len(self._in_flight) < most and (more := next(upcoming, None)):
                self._in_flight.append(more)
            asked = self._in_flight.popleft()
            for part in self._settle(asked):
                is_whole = asked.piece.is_last and part.num_settled == len(asked.piece.orders)
                if joiner is None and is_whole:
                    # Handed on as it lies in the object store.
                    return part.batch
                joiner = joiner or Joiner(asked.piece.num_rows)
                joiner.add(part.batch)
            if joiner and asked.piece.is_last:
                return joiner.batch()

    def cancel(self) -> None:
        for asked in self._in_flight:
            ray.cancel(asked.ref)

    def _parts(self, steps: range) -> Iterator[_Asked]:
        """Ask for all parts in order; each is asked for when it is drawn."""
        rank, world_size = self._place
        for step in steps:
            planned = visits(self._source.plan, step, rank, world_size)
            orders = place_orders(self._source.plan, planned, step, self._known_bad)
            num_parts = self._num_parts(len(orders))
            places = cuts(self._source.plan, planned, num_parts, rank, world_size)
            for number, (first, last) in enumerate(pairwise(places)):
                piece = _Piece(
                    step=step,
                    orders=orders[first:last],
                    preferred=self._preferred(step, number, num_parts),
                    is_last=last == len(orders),
                    num_rows=len(orders) * self._num_draws,
                )
                yield self._ask(piece)

    def _preferred(self, step: int, number: int, num_parts: int) -> int:
        """Each actor has the same share of every step, or its turn where there are fewer parts."""
        if num_parts < len(self._pool):
            return step * num_parts + number
        return number * len(self._pool) // num_parts

    def _num_parts(self, num_visits: int) -> int:
        for_bytes = -(-num_visits * self._visit_bytes // self._max_bytes)
        for_actors = min(len(self._pool), -(-num_visits // _MIN_VISITS))
        return max(1, min(num_visits, max(for_bytes, for_actors)))

    def _ask(self, piece: _Piece) -> _Asked:
        worker = self._pool.running(piece.preferred)
        worker.num_queued += len(piece.orders)
        ref = worker.actor.read.remote(piece.step, piece.orders, self._max_bytes)
        return _Asked(piece, worker, ref)

    def _settle(self, asked: _Asked) -> Iterator[Part]:
        """All of a piece: what its actor gave, what no longer fitted, what a dead one left."""
        while True:
            part = self._collect(asked)
            if part is None:
                yield from self._redo(asked)
                return
            piece = asked.piece
            for failure in part.batch.failures:
                self._known_bad.admit(failure, piece.step)
            self._learn(part)
            yield part
            if part.num_settled == len(piece.orders):
                return
            unsettled = [order.visit for order in piece.orders[part.num_settled :]]
            left = place_orders(self._source.plan, unsettled, piece.step, self._known_bad)
            # What was handed on need not stay in the object store any longer.
            del part
            asked = self._ask(replace(piece, orders=left))

    def _collect(self, asked: _Asked) -> Part | None:
        """What was asked for, or None if its actor is dead, out of memory, or so late that it is killed."""
        asked.worker.num_queued -= len(asked.piece.orders)
        try:
            return ray.get(asked.ref, timeout=self._patience_s(asked))
        except RayError as error:
            if own := own_error(error):
                raise own from None
            return None

    def _patience_s(self, asked: _Asked) -> float:
        """An actor ends itself when an item is late; this is for one that is frozen altogether."""
        ahead = sum(len(a.piece.orders) for a in self._in_flight if a.worker is asked.worker)
        return self._source.limits.deadline_s * (2 + 2 * len(asked.piece.orders) + ahead)

    def _redo(self, asked: _Asked) -> list[Part]:
        """Make again, item by item, what an actor died of; what it had not begun, others make."""
        self._pool.replace(asked.worker)
        piece = asked.piece
        parts = self._isolation.redo(piece.step, piece.orders, piece.preferred)
        for place, other in enumerate(self._in_flight):
            if other.worker is asked.worker and not _is_there(other.ref):
                self._in_flight[place] = self._ask(other.piece)
        # A rank may have nothing to do in the last step of a sweep.
        return parts or [Part(Batch(step=piece.step, addresses=(), keys=(), views=()), 0)]

    def _learn(self, part: Part) -> None:
        arrays = [a for view in part.batch.views for a in (view.video, view.audio)]
        num_bytes = sum(array.nbytes for array in arrays if array is not None)
        if part.num_settled:
            self._visit_bytes = max(self._visit_bytes, num_bytes // part.num_settled)


def _is_there(ref: ray.ObjectRef) -> bool:
    """Whether a dead actor had made this part before it died."""
    try:
        ray.get(ref, timeout=1.0)
    except RayError:
        return False
    return True
