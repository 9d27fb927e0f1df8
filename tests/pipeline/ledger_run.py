"""Writes the ledger of a simulated run on a catalogue of nothing: no media is read."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from avrep.media.catalog import Catalog, write_catalog
from avrep.pipeline.ledger import LedgerWriter
from avrep.pipeline.plan import Plan, draws, substitute, visits
from avrep.pipeline.shuffle import ShuffleConfig
from avrep.types import Address, Batch, MediaItem


def key_of(row: int) -> str:
    return f"clips/{row:04d}.mp4"


def make_catalog(folder: Path, num_items: int) -> Catalog:
    items = (
        MediaItem(
            key=key_of(i),
            shard=f"{i}.mp4",
            offset_bytes=0,
            length_bytes=10,
            duration_s=1.0,
        )
        for i in range(num_items)
    )
    write_catalog(folder / "corpus.parquet", items, str(folder))
    return Catalog.open(folder / "corpus.parquet")


def make_plan(num_items: int, batch: int, *, draws_per_visit: int = 1, seed: int = 5) -> Plan:
    """Over every other item of a catalogue."""
    return Plan(
        seed=seed,
        rows=np.arange(0, num_items, 2),
        global_batch=batch,
        draws_per_visit=draws_per_visit,
        shuffle=ShuffleConfig(block_items=4, window_blocks=3),
    )


def make_batch(
    plan: Plan,
    step: int,
    rank: int = 0,
    world_size: int = 1,
    bad: Iterable[int] = (),
) -> Batch:
    """One rank's batch as the stream gives it when the items of some rows cannot be used."""
    bad = set(bad)
    used: list[Address] = []
    for visit in visits(plan, step, rank, world_size):
        candidates = (substitute(plan, visit.address, attempt) for attempt in range(16))
        used.extend(draws(plan, next(a for a in candidates if a.item not in bad)))
    keys = tuple(key_of(address.item) for address in used)
    return Batch(step=step, addresses=tuple(used), keys=keys, views=())


def write_ledger(
    run: Path,
    plan: Plan,
    parts: Sequence[tuple[int, int, int]],
    *,
    every: int = 4,
    bad: Iterable[int] = (),
) -> None:
    """Write a ledger in the way of a run.

    Args:
        run: its folder.
        plan: the run's.
        parts: (first step, last step exclusive, world size) of each time that the run was started.
        every: steps from one checkpoint to the next.
        bad: rows of items that cannot be used.
    """
    for first, end, world_size in parts:
        writers = [LedgerWriter(run, rank, first) for rank in range(world_size)]
        for step in range(first, end):
            for rank, writer in enumerate(writers):
                batch = make_batch(plan, step, rank, world_size, bad)
                writer.add(batch, place=rank * plan.global_batch // world_size)
            if (step + 1) % every == 0 or step + 1 == end:
                for writer in writers:
                    writer.flush()
