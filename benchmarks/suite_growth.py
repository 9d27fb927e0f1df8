"""How the stream's cost grows."""

from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

from avrep.media.catalog import Catalog
from benchmarks import ours
from benchmarks.growth import grow_catalog, open_cost
from benchmarks.machine import describe_machine
from benchmarks.prepare import synthetic_catalog
from benchmarks.results import SuiteResult
from benchmarks.rounds import Entry, run_rounds
from benchmarks.suite_video import NUM_PASSES
from benchmarks.workload import Workload, even_rows

ACTORS, LENGTHS = "decode actors", "clip length"
_NUM_ACTORS = (1, 2, 4)
_NUM_FRAMES = (8, 16, 32, 64)


def run_growth(work: Path, *, quick: bool) -> SuiteResult:
    """With actors, with the length of clips, and with rows of the catalogue."""
    made = describe_machine()
    path = synthetic_catalog(work)
    rows = tuple(even_rows(Catalog.open(path), max(_NUM_FRAMES), 2))
    base = Workload(name="", catalog=path, rows=rows, fps=30.0, stride=2)
    entries = [
        _entry(replace(base, name=ACTORS), str(num_actors), num_actors)
        for num_actors in _NUM_ACTORS
    ]
    entries += [
        _entry(replace(base, name=LENGTHS, num_frames=num_frames), str(num_frames), 2)
        for num_frames in _NUM_FRAMES
    ]
    num_rounds, min_s = (1, 0.7) if quick else (3, 1.5)
    measured = run_rounds(entries, num_rounds, min_s)
    absent = dict(measured.absent)
    facts: list[dict[str, Any]] = []
    for num_rows in (10_000, 1_000_000) if quick else (10_000, 1_000_000, 10_000_000):
        try:
            grown = grow_catalog(path, work / f"rows_{num_rows}.parquet", num_rows)
            facts.append(asdict(open_cost(grown)))
        except RuntimeError as error:
            absent[f"{num_rows:,} rows"] = str(error)[:300]
    return SuiteResult(
        suite="growth",
        made=made,
        settings={"num_rounds": num_rounds, "window_s": min_s, "stride": 2},
        cells=tuple(measured.cells),
        absent=absent,
        facts=tuple(facts),
    )


def _entry(workload: Workload, name: str, num_actors: int) -> Entry:
    return Entry(
        workload=workload.name,
        contender=name,
        open=partial(ours.on_ray, workload, NUM_PASSES, num_actors),
        batches_per_pass=workload.batches_per_pass,
        clips_per_batch=workload.clips_per_batch,
        needs_ray=True,
    )
