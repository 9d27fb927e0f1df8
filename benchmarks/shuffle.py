"""Shuffle quality against read length: writes docs/shuffle.md and docs/shuffle.png.

    python -m benchmarks.shuffle

Needs no media. Takes about four minutes on two cores; everything but the far store's rates is the
same on every machine.
"""

import argparse
import multiprocessing
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from pathlib import Path
from typing import TypeVar

from threadpoolctl import threadpool_limits

from avrep.pipeline.fetch import READ_AHEAD_BYTES
from avrep.pipeline.shuffle import ShuffleConfig
from benchmarks.shuffle_probe import full_shuffle, probe_accuracies
from benchmarks.shuffle_quality import Mixing, measure_mixing
from benchmarks.shuffle_reading import Cut, Layout, Reading, measure_reading
from benchmarks.shuffle_report import (
    Findings,
    QualityRow,
    RateRow,
    ReadingRow,
    write_report,
)
from benchmarks.shuffle_store import measure_rate, slow_store

BLOCK_ITEMS = (1, 4, 8, 16, 32, 64, 128)
WINDOW_BLOCKS = (16, 64, 256, 1024)
ITEM_BYTES = (50_000, 300_000, 2_000_000)
NUM_ITEMS = (10_000, 100_000, 1_000_000)
GLOBAL_BATCHES = (64, 256, 1024)
NUM_CLASSES = (101, 400)
CUTS: tuple[Cut, ...] = ("by count", "by block")

# How the stream cuts a step.
_TODAY: Cut = "by block"
_GLOBAL_BATCH = 256
_CORPUS_ITEMS = 100_000
# Windows of more items are no choice for any of the item sizes, and take long to play.
_MOST_WINDOW_ITEMS = 16_384
# A far store's windows are as large as two actors' budgets hold, or as many items as are quick.
_MOST_RATE_ITEMS = 512
_NUM_RATE_ROUNDS = 3

T = TypeVar("T")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1] / "docs")
    out: Path = parser.parse_args().out
    began_s = time.perf_counter()
    grid = [_shuffle(b, w) for w, b in product(WINDOW_BLOCKS, BLOCK_ITEMS)]
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, context, initializer=threadpool_limits, initargs=(1,)) as pool:
        probes = _map(pool, probe_accuracies, [(s,) for s in [full_shuffle(), None, *grid]])
        quality = _quality(pool, grid)
        sizes = _sizes(pool)
        reading = _reading(pool, grid)
        layouts = _layouts(pool)
    rates = _rates()
    findings = Findings(
        probe_full=probes[0],
        probe_stored=probes[1],
        probes=dict(zip(grid, probes[2:], strict=True)),
        quality=quality,
        sizes=sizes,
        reading=reading,
        layouts=layouts,
        rates=rates,
        took_s=time.perf_counter() - began_s,
    )
    write_report(findings, out)


def _candidates() -> list[ShuffleConfig]:
    """The defaults, and what they might be instead."""
    return list(dict.fromkeys([ShuffleConfig(), _shuffle(4, 256), _shuffle(16, 256)]))[:2]


def _quality(pool: ProcessPoolExecutor, grid: Sequence[ShuffleConfig]) -> list[QualityRow]:
    cases = [
        (_CORPUS_ITEMS, classes, _GLOBAL_BATCH, s) for s, classes in product(grid, NUM_CLASSES)
    ]
    return _quality_rows(pool, cases)


def _sizes(pool: ProcessPoolExecutor) -> list[QualityRow]:
    shuffles = _candidates()
    cases = [(n, 400, b, s) for s, n, b in product(shuffles, NUM_ITEMS, GLOBAL_BATCHES)]
    return _quality_rows(pool, cases)


def _quality_rows(
    pool: ProcessPoolExecutor, cases: Sequence[tuple[int, int, int, ShuffleConfig]]
) -> list[QualityRow]:
    found: list[Mixing] = _map(pool, measure_mixing, cases)
    return [
        QualityRow(num_items=n, num_classes=c, global_batch=b, shuffle=s, mixing=mixing)
        for (n, c, b, s), mixing in zip(cases, found, strict=True)
    ]


def _reading(pool: ProcessPoolExecutor, grid: Sequence[ShuffleConfig]) -> list[ReadingRow]:
    small = [s for s in grid if s.block_items * s.window_blocks <= _MOST_WINDOW_ITEMS]
    layout = _layout(1, 2, _TODAY)
    return _reading_rows(
        pool, [(s, size, _GLOBAL_BATCH, layout) for s, size in product(small, ITEM_BYTES)]
    )


def _layouts(pool: ProcessPoolExecutor) -> list[ReadingRow]:
    shapes = ((1, 2, None), (1, 2, 5), (1, 8, None), (8, 8, None))
    return _reading_rows(
        pool,
        [
            (s, 300_000, batch, _layout(ranks, actors, cut, num_parts))
            for s, (ranks, actors, num_parts), batch, cut in product(
                _candidates(), shapes, GLOBAL_BATCHES, CUTS
            )
        ],
    )


def _reading_rows(
    pool: ProcessPoolExecutor, cases: Sequence[tuple[ShuffleConfig, int, int, Layout]]
) -> list[ReadingRow]:
    found: list[Reading] = _map(pool, measure_reading, cases)
    return [
        ReadingRow(shuffle=s, item_bytes=size, global_batch=batch, layout=layout, reading=reading)
        for (s, size, batch, layout), reading in zip(cases, found, strict=True)
    ]


def _rates() -> list[RateRow]:
    rows: list[RateRow] = []
    layout = _layout(1, 2, _TODAY)
    with slow_store() as root:
        for size in ITEM_BYTES:
            held = min(_MOST_RATE_ITEMS, 2 * READ_AHEAD_BYTES // size)
            for block_items in BLOCK_ITEMS[:5]:
                shuffle = _shuffle(block_items, held // block_items)
                rates = [
                    measure_rate(root, shuffle, size, 64, layout) for _ in range(_NUM_RATE_ROUNDS)
                ]
                rows.append(RateRow(item_bytes=size, shuffle=shuffle, items_per_s=rates))
    return rows


def _layout(world_size: int, num_actors: int, cut: Cut, num_parts: int | None = None) -> Layout:
    """Of two actors the first is watched, of eight of one rank one in the middle, of more all."""
    alone = (0,) if num_actors == 2 else (num_actors // 2,)
    return Layout(
        world_size=world_size,
        num_actors=num_actors,
        watched=alone if world_size == 1 else tuple(range(num_actors)),
        read_ahead_bytes=READ_AHEAD_BYTES,
        num_parts=num_parts,
        cut=cut,
    )


def _shuffle(block_items: int, window_blocks: int) -> ShuffleConfig:
    return ShuffleConfig(block_items=block_items, window_blocks=window_blocks)


def _map(
    pool: ProcessPoolExecutor, work: Callable[..., T], cases: Sequence[tuple[object, ...]]
) -> list[T]:
    return [future.result() for future in [pool.submit(work, *case) for case in cases]]


if __name__ == "__main__":
    main()
