"""Bytes ahead of the decoder: the next items of a step in threads, whole blocks where that pays."""

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from itertools import pairwise
from time import perf_counter
from typing import TypeVar

from avrep.errors import ShardError
from avrep.media import shards
from avrep.media.catalog import Catalog
from avrep.media.deadline import not_counted
from avrep.media.faults import without_secrets
from avrep.media.storage import StorageConfig
from avrep.media.window import ReadRange, Window
from avrep.pipeline.plan import Plan, Sweep, Visit, block_rows
from avrep.types import Address, MediaItem

READ_AHEAD_BYTES = 2**27
"""Bytes that one reader keeps of blocks whose items are still to come."""

_T = TypeVar("_T")

_NUM_THREADS = 4
# Items asked for before the decoder gets to them, and their bytes together.
_ITEMS_AHEAD = 8
_ITEMS_AHEAD_BYTES = 2**25


@dataclass(slots=True)
class _Block:
    """Neighbours in a shard that came, or are coming, with one read."""

    items: dict[int, MediaItem]
    """By catalogue row."""
    window: int
    waiting: dict[int, int] = field(default_factory=dict)
    """Row -> place in `contents`, of items that were not taken yet."""
    contents: Future[list[bytes | ShardError]] | None = None
    held_bytes: int = 0


class Fetcher:
    """Holds what was fetched ahead, within a budget; an item's bytes are let go when taken.

    A block is read as a whole where at least two of its items lie in one shard and all of it fits
    into what is left of the budget. So a budget that is too small costs long reads, never bytes
    that are read again and again.
    """

    def __init__(
        self,
        catalog: Catalog,
        plan: Plan | Sweep,
        max_bytes: int,
        storage: StorageConfig | None = None,
    ) -> None:
        self._catalog = catalog
        self._plan = plan
        self._max_bytes = max_bytes
        self._storage = storage
        self._held_bytes = 0
        self._blocks: dict[tuple[int, int], _Block] = {}
        self._asked: dict[Address, Future[shards.Source]] = {}
        self._pool = ThreadPoolExecutor(_NUM_THREADS, thread_name_prefix="avrep-fetch")

    def ask_ahead(self, coming: Sequence[Visit]) -> None:
        """Start to fetch what comes next, in this order, as far as it is worth looking ahead.

        Blocks of windows before that of the first visit are let go: steps come in order, and the
        visits of one in the order of their blocks.
        """
        num_bytes = 0
        if coming and coming[0].block is not None and isinstance(self._plan, Plan):
            window = coming[0].block // self._plan.shuffle.window_blocks
            self._forget_before(coming[0].address.epoch, window)
        for visit in coming[:_ITEMS_AHEAD]:
            item = self.item(visit)
            num_bytes += min(item.length_bytes, shards.WHOLE_READ_BYTES)
            if num_bytes > _ITEMS_AHEAD_BYTES:
                return
            block = self._block(visit)
            comes_with_block = block is not None and visit.address.item in block.waiting
            if not comes_with_block and visit.address not in self._asked:
                self._asked[visit.address] = self._submit(item)

    def item(self, visit: Visit) -> MediaItem:
        block = self._block(visit)
        row = visit.address.item
        return self._catalog[row] if block is None else block.items[row]

    def take(self, visit: Visit, within_s: float | None = None) -> shards.Source:
        """The item's bytes, or a window of them; waits for them if need be.

        Args:
            visit: whose.
            within_s: how long they may take to come, all reads of a window together, which
                `ended_after` does not count; None: as long as a read may take.

        Raises:
            ShardError: they cannot be had, or not in time; so says a window when it is read.
        """
        block, row = self._block(visit), visit.address.item
        if block is not None and block.contents is not None and row in block.waiting:
            place = block.waiting.pop(row)
            contents = block.contents.result()
            content, contents[place] = contents[place], b""
            length_bytes = block.items[row].length_bytes
            block.held_bytes -= length_bytes
            self._held_bytes -= length_bytes
            if isinstance(content, ShardError):
                raise content
            return content
        asked = self._asked.pop(visit.address, None) or self._submit(self.item(visit))
        if within_s is None:
            return asked.result()
        source = self._in_time(asked, visit, within_s)
        if isinstance(source, Window):
            source.read_range = self._patiently(source.read_range, visit, within_s)
        return source

    def close(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)
        for asked in self._asked.values():
            if not asked.cancelled() and asked.exception() is None:
                close(asked.result())

    def _submit(self, item: MediaItem) -> Future[shards.Source]:
        return self._pool.submit(shards.fetch, item, self._catalog.root, self._storage)

    def _in_time(self, coming: "Future[_T]", visit: Visit, within_s: float) -> _T:
        wait([coming], timeout=within_s)
        if coming.done():
            return coming.result()
        url = without_secrets(shards.shard_url(self.item(visit), self._catalog.root))
        raise ShardError(
            f"cannot read {url}: its bytes did not come in the time that an item may take "
            "(data.limits.deadline_s); is the store up, and reachable from here?"
        )

    def _patiently(self, read_range: ReadRange, visit: Visit, within_s: float) -> ReadRange:
        """A window's reads, all of which together may take so long, in a thread that can be left."""
        left_s = within_s

        def read(start: int, end: int) -> bytes:
            nonlocal left_s
            asked_s = perf_counter()
            try:
                with not_counted():
                    return self._in_time(self._pool.submit(read_range, start, end), visit, left_s)
            finally:
                left_s = max(0.0, left_s - (perf_counter() - asked_s))

        return read

    def _block(self, visit: Visit) -> _Block | None:
        """The visit's block, newly opened if need be; None for a substitute, read by itself."""
        if visit.block is None or not isinstance(self._plan, Plan):
            return None
        name = visit.address.epoch, visit.block
        block = self._blocks.get(name)
        if block is None:
            window = visit.block // self._plan.shuffle.window_blocks
            block = self._blocks[name] = self._open(*name, window)
        return block

    def _open(self, epoch: int, number: int, window: int) -> _Block:
        assert isinstance(self._plan, Plan)
        rows = block_rows(self._plan, epoch, number).tolist()
        items = self._catalog.items(rows)
        block = _Block(dict(zip(rows, items, strict=True)), window)
        num_bytes = sum(item.length_bytes for item in items)
        are_neighbours = any(a.shard == b.shard for a, b in pairwise(items))
        are_small = all(item.length_bytes <= shards.WHOLE_READ_BYTES for item in items)
        if are_neighbours and are_small and self._held_bytes + num_bytes <= self._max_bytes:
            self._held_bytes += num_bytes
            block.held_bytes = num_bytes
            block.waiting = {row: place for place, row in enumerate(rows)}
            block.contents = self._pool.submit(
                shards.read_many, items, self._catalog.root, self._storage
            )
        return block

    def _forget_before(self, epoch: int, window: int) -> None:
        """Let go of blocks of windows that are over: what was not taken, another reader took."""
        over = [
            name
            for name, block in self._blocks.items()
            if (name[0], block.window) < (epoch, window)
        ]
        for name in over:
            block = self._blocks.pop(name)
            self._held_bytes -= block.held_bytes
            if block.contents:
                block.contents.cancel()


def close(source: shards.Source) -> None:
    """Let go of a source's open file, if it has one."""
    if not isinstance(source, bytes):
        source.close()
