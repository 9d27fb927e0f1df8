"""How the cost grows: with decode actors, with the length of clips, with rows of the catalogue."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from avrep.media.catalog import Catalog
from avrep.pipeline.batches import batches, read_batch
from avrep.pipeline.example import StreamSource
from avrep.pipeline.plan import Plan
from avrep.sampling.clips import UniformConfig
from avrep.sampling.spec import ViewSpec
from avrep.types import Batch, Geometry
from benchmarks.workload import SHORT_SIDE_PX

_ROWS_AT_ONCE = 2**20
_ROWS_PER_GROUP = 4096
_FAR_STEP = 1_000_000
_TIMED_BATCHES = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenCost:
    """What a catalogue of some length costs one process."""

    num_rows: int
    file_mib: float
    open_s: float
    """Opening the catalogue, finding the usable rows, making the plan."""
    first_batch_s: float
    """Then the batch of step 1,000,000, decoded here, its time of decoding included."""
    memory_mib: float
    """Peak of the process above what it held before it opened anything."""
    clips_per_s: float
    """Of this process alone, over the next batches."""


def grow_catalog(small: Path, out: Path, num_rows: int) -> Path:
    """A catalogue of `num_rows` rows that point at the files of a small one, over and over."""
    if out.exists():
        return out
    file = pq.ParquetFile(small)
    table = file.read()
    # Whatever the metadata says of the small one's rows is not looked at when it is opened.
    schema = file.schema_arrow.with_metadata(_metadata(file))
    part = out.with_suffix(".part")
    with pq.ParquetWriter(part, schema, compression="zstd") as writer:
        for first in range(0, num_rows, _ROWS_AT_ONCE):
            rows = np.arange(first, min(first + _ROWS_AT_ONCE, num_rows))
            keys = pc.cast(pa.array(rows), pa.string())
            grown = table.take(pa.array(rows % len(table)))
            place = grown.schema.get_field_index("key")
            grown = grown.set_column(place, schema.field("key"), keys).cast(schema)
            writer.write_table(grown, row_group_size=_ROWS_PER_GROUP)
    part.replace(out)
    return out


def open_cost(path: Path) -> OpenCost:
    """Measure in a process of its own, fresh, so that memory is counted from nothing."""
    command = [sys.executable, "-m", "benchmarks.growth", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError((done.stderr.strip().splitlines() or ["it ended without a word"])[-1])
    return OpenCost(**json.loads(done.stdout))


def _open_here(path: Path) -> OpenCost:
    before_mib = _peak_mib()
    began_s = time.perf_counter()
    source = _source(path)
    opened_s = time.perf_counter()
    read_batch(source, _FAR_STEP)
    first_s = time.perf_counter()
    stream = batches(source, count(_FAR_STEP + 1))
    _take(stream, 1)
    timed_s = time.perf_counter()
    num_clips = _take(stream, _TIMED_BATCHES)
    return OpenCost(
        num_rows=len(source.catalog),
        file_mib=path.stat().st_size / 2**20,
        open_s=opened_s - began_s,
        first_batch_s=first_s - opened_s,
        memory_mib=_peak_mib() - before_mib,
        clips_per_s=num_clips / (time.perf_counter() - timed_s),
    )


def _source(path: Path) -> StreamSource:
    catalog = Catalog.open(path)
    sampler = UniformConfig(num_frames=16, stride=2, num_clips=2)
    spec = ViewSpec(sampler=sampler, geometry=Geometry(short_side_px=SHORT_SIDE_PX))
    plan = Plan(seed=0, rows=catalog.rows_with(video=True), global_batch=4)
    return StreamSource(catalog=catalog, plan=plan, specs=(spec,))


def _take(stream: Iterator[Batch], num_batches: int) -> int:
    return sum(len(view.pts_s) for _ in range(num_batches) for view in next(stream).views)


def _metadata(file: pq.ParquetFile) -> dict[bytes, bytes]:
    return (file.schema_arrow.metadata or {}) | (file.metadata.metadata or {})


def _peak_mib() -> float:
    # `getrusage` would count the process that this one was forked from.
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


if __name__ == "__main__":
    print(json.dumps(asdict(_open_here(Path(sys.argv[1])))))
