"""Resume: any step of any run at once, and the same from there on.

The order of a plan is restated here in plain Python from its description: one whole table of an
epoch, made by walking, where the package computes single places.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from avrep import rng
from avrep.media.catalog import SCHEMA, Catalog
from avrep.pipeline.batches import batches
from avrep.pipeline.plan import Plan, addresses
from avrep.pipeline.shuffle import ShuffleConfig
from avrep.rng import Stage
from avrep.types import Address

from .runs import digest, make_source, plain_digests

pytestmark = pytest.mark.faults

NUM_ITEMS = 10_000_000
FIRST_STEP = 1_000_000
_MASK = 2**64 - 1


def permutation(size: int, seed: int, name: Address) -> list[int]:
    """Six rounds of a Feistel network over a power of four, and round again from what is outside."""
    half_bits = 1
    while 4**half_bits < size:
        half_bits += 1
    keys = [int(k) for k in rng.at(seed, Stage.PLAN, name).integers(0, 2**64, 6, dtype=np.uint64)]

    def once(value: int) -> int:
        left, right = value >> half_bits, value % 2**half_bits
        for key in keys:
            z = right ^ key
            z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
            z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
            left, right = right, left ^ ((z ^ (z >> 31)) % 2**half_bits)
        return (left << half_bits) | right

    found: list[int] = []
    for position in range(size):
        value = once(position)
        while value >= size:
            value = once(value)
        found.append(value)
    return found


def epoch_order(
    num_items: int, config: ShuffleConfig, seed: int, epoch: int
) -> list[tuple[int, int]]:
    """Items of an epoch in order, each with the number of its block: the whole table."""
    num_full = num_items // config.block_items
    rotation = int(rng.at(seed, Stage.PLAN, Address(epoch, 0, 2)).integers(num_items))
    stored = [*permutation(num_full, seed, Address(epoch, 0, 0))] if num_full else []
    unmixed: list[tuple[int, int]] = []
    for number, block in enumerate([*stored, num_full]):
        size = config.block_items if number < num_full else num_items % config.block_items
        first = block * config.block_items + rotation
        unmixed += [((first + i) % num_items, number) for i in range(size)]
    per_window = config.block_items * config.window_blocks
    ordered: list[tuple[int, int]] = []
    for window, start in enumerate(range(0, num_items, per_window)):
        inside = unmixed[start : start + per_window]
        mixing = permutation(len(inside), seed, Address(epoch, window, 1))
        ordered += [inside[place] for place in mixing]
    return ordered


@settings(max_examples=60, deadline=None)
@given(
    num_items=st.integers(2, 60),
    block_items=st.integers(1, 9),
    window_blocks=st.integers(1, 5),
    visits=st.integers(1, 6),
    draws=st.integers(1, 3),
    step=st.integers(0, 40),
    seed=st.integers(0, 2**63),
)
def test_any_step_is_that_of_the_whole_table(
    num_items: int,
    block_items: int,
    window_blocks: int,
    visits: int,
    draws: int,
    step: int,
    seed: int,
) -> None:
    visits = min(visits, num_items)
    shuffle = ShuffleConfig(block_items=block_items, window_blocks=window_blocks)
    rows = np.arange(num_items) * 7 + 3
    plan = Plan(
        seed=seed, rows=rows, global_batch=visits * draws, draws_per_visit=draws, shuffle=shuffle
    )
    epoch, within = divmod(step, num_items // visits)
    whole = epoch_order(num_items, shuffle, seed, epoch)[within * visits :][:visits]
    # Within a step, what is in one block stands together.
    whole.sort(key=lambda place: place[1])
    expected = [Address(epoch, int(rows[item]), draw) for item, _ in whole for draw in range(draws)]
    assert list(addresses(plan, step)) == expected


@pytest.fixture(scope="module")
def undisturbed(synth_catalog: Catalog) -> list[str]:
    return plain_digests(make_source(synth_catalog), range(20))


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(first=st.integers(0, 19), count=st.integers(1, 4))
def test_from_any_step_the_rest_is_the_same(
    synth_catalog: Catalog, undisturbed: list[str], first: int, count: int
) -> None:
    steps = range(first, min(20, first + count))
    resumed = [digest(batch) for batch in batches(make_source(synth_catalog), steps)]
    assert resumed == undisturbed[first : first + count]


def write_endless_catalog(good: Catalog, path: Path) -> None:
    """Ten million rows that all point to the few files of a good catalogue."""
    base = good.table().slice(0, 16)
    repeats = pa.array(np.arange(NUM_ITEMS) % len(base))
    part = 500_000
    facts = pq.read_schema(good.path).metadata or pq.read_metadata(good.path).metadata
    with pq.ParquetWriter(path, SCHEMA, compression="zstd") as writer:
        for start in range(0, NUM_ITEMS, part):
            table = base.take(repeats.slice(start, part))
            keys = pa.array([f"{row:08d}" for row in range(start, start + part)])
            writer.write_table(table.set_column(0, SCHEMA.field(0), keys), row_group_size=4096)
        writer.add_key_value_metadata(facts)


_OPEN_FAR = """
import json, sys, time
from avrep.media.catalog import Catalog
from avrep.pipeline.batches import batches
from tests.faults.runs import make_source
from tests.faults.victims import peak_rss_bytes
began_s = time.monotonic()
catalog = Catalog.open(sys.argv[1])
source = make_source(catalog, global_batch=32)
batch = next(batches(source, range(int(sys.argv[2]), int(sys.argv[2]) + 1000)))
print(json.dumps({
    "wall_s": time.monotonic() - began_s,
    "rss_bytes": peak_rss_bytes(),
    "epoch": batch.addresses[0].epoch,
    "num_items": len(catalog),
    "num_failures": len(batch.failures),
    "num_rows": len(batch.addresses),
}))
"""


@pytest.mark.slow
def test_step_1_000_000_of_10_million_items(
    synth_catalog: Catalog, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """To the first batch, in a fresh process. The time is told, not judged."""
    write_endless_catalog(synth_catalog, tmp_path / "endless.parquet")
    done = subprocess.run(
        [sys.executable, "-c", _OPEN_FAR, str(tmp_path / "endless.parquet"), str(FIRST_STEP)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    said = json.loads(done.stdout.splitlines()[-1])
    assert (said["num_items"], said["num_rows"], said["num_failures"]) == (NUM_ITEMS, 32, 0)
    assert said["epoch"] == FIRST_STEP // (NUM_ITEMS // 32) == 3
    assert said["rss_bytes"] < 2**30
    record_property("fault", "opened at step 1,000,000 of 10 million items")
    record_property("planted", 1)
    record_property(
        "result", f"first batch after {said['wall_s']:.1f} s, {said['rss_bytes'] / 2**20:.0f} MiB"
    )
