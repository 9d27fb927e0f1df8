"""What a `ShuffleConfig` costs in reads: the real `Fetcher` over a store that only counts.

The store is an fsspec file system that answers every range with zeros and notes its length, so that
plan, fetcher, spans and retries are those of a run. The parts are those that `cluster.stream` hands
out, and the actors that are watched fetch theirs; nothing is decoded.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar, Literal, cast

import fsspec
import numpy as np
from fsspec import AbstractFileSystem

from avrep.media.catalog import Catalog
from avrep.pipeline.fetch import Fetcher, close
from avrep.pipeline.plan import Plan, Visit, visits
from avrep.pipeline.share import cuts
from avrep.pipeline.shuffle import ShuffleConfig
from avrep.types import MediaItem

Cut = Literal["by count", "by block"]
"""How a rank's visits are shared out: in parts of equal size, or, as `pipeline.share` does, by a
fixed range of each window's blocks as far as that leaves the parts about equal."""

ITEMS_PER_SHARD = 2_000

_SEED = 1
_HEADERS_BYTES = 1024
_MIN_VISITS = 4
_NUM_ITEMS = 100_000
_MIN_TAKEN = 1_500


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Who reads: so many actors for each of so many ranks, of which some are watched."""

    world_size: int
    num_actors: int
    watched: tuple[int, ...]
    """Actors of the middle rank."""
    read_ahead_bytes: int
    num_parts: int | None = None
    """Parts of a rank's step; None for as many as actors, where each has at least four visits."""
    cut: Cut = "by block"

    @property
    def rank(self) -> int:
        return self.world_size // 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What the watched actors asked of the store, after a first window that warms up."""

    requests_per_item: float
    mean_read_bytes: float
    amplification: float
    """Bytes read over bytes of the items that were taken."""


class VirtualCatalog:
    """Items of one size in tar shards of `ITEMS_PER_SHARD`, made when asked for."""

    def __init__(self, root: str, item_bytes: int) -> None:
        self.root = root
        self._item_bytes = item_bytes

    def __getitem__(self, row: int) -> MediaItem:
        shard, place = divmod(row, ITEMS_PER_SHARD)
        return MediaItem(
            key=str(row),
            shard=f"{shard:05}.tar",
            offset_bytes=_HEADERS_BYTES + place * (self._item_bytes + _HEADERS_BYTES),
            length_bytes=self._item_bytes,
            duration_s=10.0,
        )

    def items(self, rows: Sequence[int]) -> list[MediaItem]:
        return [self[row] for row in rows]


class CountingStore(AbstractFileSystem):
    """Zeros, and the length of every range that was asked for."""

    protocol = "counted"
    lengths: ClassVar[list[int]] = []

    def cat_file(
        self, path: str, start: int | None = None, end: int | None = None, **kwargs: Any
    ) -> bytes:
        del path, kwargs
        num_bytes = (end or 0) - (start or 0)
        self.lengths.append(num_bytes)
        return bytes(num_bytes)


def make_plan(shuffle: ShuffleConfig, global_batch: int) -> Plan:
    rows = np.arange(_NUM_ITEMS)
    return Plan(seed=_SEED, rows=rows, global_batch=global_batch, shuffle=shuffle)


def measure_reading(
    shuffle: ShuffleConfig, item_bytes: int, global_batch: int, layout: Layout
) -> Reading:
    """Play the watched actors over a first window and then over enough more."""
    fsspec.register_implementation("counted", CountingStore, clobber=True)
    plan = make_plan(shuffle, global_batch)
    catalog = cast(Catalog, VirtualCatalog("counted://store", item_bytes))
    fetchers = {actor: Fetcher(catalog, plan, layout.read_ahead_bytes) for actor in layout.watched}
    steps_per_window = -(-shuffle.block_items * shuffle.window_blocks // global_batch)
    num_taken, step = 0, 0
    CountingStore.lengths.clear()
    while num_taken < _MIN_TAKEN or step % steps_per_window:
        for actor, part in parts(plan, step, layout):
            if actor in fetchers:
                num_taken += take_all(fetchers[actor], part)
        step += 1
        if step == steps_per_window:
            # Whatever was asked for has been taken, so nothing is on its way.
            CountingStore.lengths.clear()
            num_taken = 0
    for fetcher in fetchers.values():
        fetcher.close()
    lengths = CountingStore.lengths
    return Reading(
        requests_per_item=len(lengths) / num_taken,
        mean_read_bytes=sum(lengths) / len(lengths),
        amplification=sum(lengths) / (num_taken * item_bytes),
    )


def parts(plan: Plan, step: int, layout: Layout) -> Iterator[tuple[int, Sequence[Visit]]]:
    """The parts of the watched rank's step, each with its actor."""
    planned = visits(plan, step, layout.rank, layout.world_size)
    count = layout.num_actors
    num_parts = layout.num_parts or max(1, min(count, -(-len(planned) // _MIN_VISITS)))
    if layout.cut == "by block":
        places = cuts(plan, planned, num_parts, layout.rank, layout.world_size)
    else:
        places = np.linspace(0, len(planned), num_parts + 1).astype(int).tolist()
    for number, (first, last) in enumerate(pairwise(places)):
        actor = step * num_parts + number if num_parts < count else number * count // num_parts
        yield actor % count, planned[first:last]


def take_all(fetcher: Fetcher, part: Sequence[Visit]) -> int:
    """Take a part's items as a `Reader` does; how many they were."""
    for number, visit in enumerate(part):
        fetcher.ask_ahead(part[number:])
        close(fetcher.take(visit))
    return len(part)
