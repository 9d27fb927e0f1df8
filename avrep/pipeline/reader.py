"""Reads visits and gives batches: what a decode actor does, and the plain stream without one."""

import socket
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, replace
from time import perf_counter
from types import TracebackType
from typing import Self

from avrep.errors import FailureBudgetExceeded, MediaError, ShardError
from avrep.media import shards
from avrep.pipeline import fetch
from avrep.pipeline.collate import collate
from avrep.pipeline.example import Example, StreamSource, read_example
from avrep.pipeline.plan import MAX_SUBSTITUTES, Plan, Visit, draws, substitute
from avrep.types import Address, Batch, Clip, Failure, MediaItem, StageTimes


@dataclass(frozen=True, slots=True)
class Order:
    """What a reader is asked for: one visit, and which candidate for it to begin with."""

    visit: Visit
    attempt: int = 0
    """0 for the planned item, k for its k-th substitute: those before it are known to be bad."""


@dataclass(frozen=True, slots=True)
class Part:
    """What a reader gives: a batch of the first `num_settled` of the orders."""

    batch: Batch
    num_settled: int


class Reader:
    """Reads any visits of a run; holds what was fetched ahead. A context manager.

    Args:
        source: what to read and how.
        read_ahead_bytes: budget of the bytes fetched ahead.
        watch: entered around the reading of each item; a decode actor ends itself there when the
            item takes too long.
        patience_s: how long the bytes of an item that is read alone may take to come, which its watch
            does not count; None: as long as `source.storage` lets reads take.
    """

    def __init__(
        self,
        source: StreamSource,
        *,
        read_ahead_bytes: int = fetch.READ_AHEAD_BYTES,
        watch: Callable[[], AbstractContextManager[None]] = nullcontext,
        patience_s: float | None = None,
    ) -> None:
        self._source = source
        self._watch = watch
        self._patience_s = patience_s
        self._fetcher = fetch.Fetcher(source.catalog, source.plan, read_ahead_bytes, source.storage)

    def read(self, step: int, orders: Sequence[Order], max_bytes: int | None = None) -> Part:
        """Clips of the visits, in order, as many of them as fit.

        An item that cannot be read or decoded is reported in `Batch.failures`. Under a `Plan`, a
        substitute that is itself a function of the address takes its place; under a `Sweep` its
        row is left out, and a batch of which nothing is left has no views.

        Args:
            step: which the batch says it is of.
            orders: what to read.
            max_bytes: bytes that the batch may have. It has fewer rows where they are used up, and
                an item that alone is over it has failed.

        Raises:
            FailureBudgetExceeded: an item and all its substitutes failed.
        """
        made = _Batch(self._source, step, max_bytes)
        candidates = [self._candidate(order, order.attempt) for order in orders]
        for number, order in enumerate(orders):
            self._fetcher.ask_ahead(candidates[number:])
            for attempt in range(order.attempt, MAX_SUBSTITUTES + 1):
                candidate = self._candidate(order, attempt)
                result = self._try(candidate, max_bytes)
                if isinstance(result, Failure):
                    made.failures.append(result)
                    if not isinstance(self._source.plan, Plan):
                        break
                elif not made.add(candidate, self._fetcher.item(candidate), result):
                    return Part(made.batch(), number)
                else:
                    break
            else:
                raise _all_failed(order, made.failures[-1])
        return Part(made.batch(), len(orders))

    def read_alone(self, step: int, order: Order, max_bytes: int | None = None) -> Part | Failure:
        """The clips of one visit, of the candidate asked for and no other."""
        made = _Batch(self._source, step, max_bytes)
        # Not with its block: what may be its own fault must not depend on its neighbours.
        candidate = replace(self._candidate(order, order.attempt), block=None)
        result = self._try(candidate, max_bytes, alone=True)
        if isinstance(result, Failure):
            return result
        made.add(candidate, self._fetcher.item(candidate), result)
        return Part(made.batch(), 1)

    def close(self) -> None:
        self._fetcher.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _candidate(self, order: Order, attempt: int) -> Visit:
        if attempt == 0:
            return order.visit
        assert isinstance(self._source.plan, Plan)
        return Visit(substitute(self._source.plan, order.visit.address, attempt))

    def _try(
        self, visit: Visit, max_bytes: int | None, *, alone: bool = False
    ) -> Example | Failure:
        item = self._fetcher.item(visit)
        try:
            with ExitStack() as stack:
                if not alone:
                    stack.enter_context(self._watch())
                asked_s = perf_counter()
                data = self._fetcher.take(visit, self._patience_s if alone else None)
                stack.callback(fetch.close, data)
                storage = StageTimes(storage_s=perf_counter() - asked_s)
                if alone:
                    stack.enter_context(self._watch())
                addresses = draws(self._source.plan, visit.address)
                example = read_example(self._source, item, addresses, data)
            num_bytes = example.num_bytes
            if max_bytes is not None and num_bytes > max_bytes:
                raise MediaError("limits", _too_large(num_bytes, max_bytes))
        except (MediaError, ShardError) as error:
            return failure(
                visit.address, item, self._source.catalog.root, error, node=socket.gethostname()
            )
        return example.after(storage)


class _Batch:
    """A batch in the making."""

    def __init__(self, source: StreamSource, step: int, max_bytes: int | None) -> None:
        self.failures: list[Failure] = []
        self._plan = source.plan
        self._step = step
        self._max_bytes = max_bytes
        self._addresses: list[Address] = []
        self._items: list[MediaItem] = []
        self._rows: list[tuple[Clip, ...]] = []
        self._num_bad_packets = 0
        self._spent = StageTimes()

    def add(self, visit: Visit, item: MediaItem, example: Example) -> bool:
        """Add a visit's rows, unless the batch has some already and these no longer fit."""
        if self._rows and self._max_bytes is not None:
            rows = [*self._rows, *example.draws]
            if sum(_padded_bytes(view) for view in zip(*rows, strict=True)) > self._max_bytes:
                return False
        self._addresses.extend(draws(self._plan, visit.address))
        self._items.extend([item] * len(example.draws))
        self._rows.extend(example.draws)
        self._num_bad_packets += example.num_bad_packets
        self._spent += example.spent
        return True

    def batch(self) -> Batch:
        began_s = perf_counter()
        views = tuple(collate(view) for view in zip(*self._rows, strict=True))
        stacked = StageTimes(convert_s=perf_counter() - began_s)
        return Batch(
            step=self._step,
            addresses=tuple(self._addresses),
            keys=tuple(item.key for item in self._items),
            views=views,
            labels=tuple(item.labels for item in self._items),
            failures=tuple(self.failures),
            num_bad_packets=self._num_bad_packets,
            spent=self._spent + stacked,
        )


def failure(
    address: Address,
    item: MediaItem,
    root: str,
    error: MediaError | ShardError,
    *,
    attempts: int = 1,
    node: str = "",
) -> Failure:
    """What is reported of an item that could not be used."""
    is_media = isinstance(error, MediaError)
    return Failure(
        address=address,
        key=item.key,
        stage=error.stage if is_media else "read",
        reason=error.reason if is_media else str(error),
        error=type(error).__name__,
        uri=shards.shard_url(item, root),
        offset_bytes=item.offset_bytes,
        length_bytes=item.length_bytes,
        attempts=attempts,
        node=node,
    )


def _padded_bytes(clips: Sequence[Clip]) -> int:
    videos = [clip.video.shape for clip in clips if clip.video is not None]
    sounds = [clip.audio.nbytes for clip in clips if clip.audio is not None]
    sound_bytes = len(sounds) * max(sounds, default=0)
    if not videos:
        return sound_bytes
    largest = max(shape[1] for shape in videos) * max(shape[2] for shape in videos)
    return sound_bytes + 3 * largest * sum(shape[0] for shape in videos)


def _too_large(num_bytes: int, max_bytes: int) -> str:
    return (
        f"its clips take {num_bytes / 2**20:.0f} MiB, over the {max_bytes / 2**20:.0f} MiB that a "
        "part of a batch may have; raise data.prefetch_bytes, or ask for smaller or fewer frames"
    )


def _all_failed(order: Order, last: Failure) -> FailureBudgetExceeded:
    return FailureBudgetExceeded(
        f"{order.visit.address} and {MAX_SUBSTITUTES} substitutes failed; the last: "
        f"{last.key}: {last.stage}: {last.reason}"
    )
