"""Trying quarantined items again: each alone, whatever the source holds to be bad."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from avrep.errors import ConfigError
from avrep.media.catalog import Catalog, write_catalog
from avrep.pipeline.example import StreamSource
from avrep.pipeline.plan import Plan
from avrep.pipeline.quarantine import KnownBad, QuarantineEntry
from avrep.pipeline.quarantine_retry import retry_items
from avrep.pipeline.stream import plain_stream
from avrep.sampling.pairs import PairConfig
from avrep.sampling.spec import ViewSpec
from avrep.types import Geometry


@pytest.fixture
def source(synth_folder: Path, synth_catalog: Catalog, tmp_path: Path) -> StreamSource:
    """The small corpus, the item of row 3 overwritten, the file of row 5 gone."""
    shutil.copytree(synth_folder, tmp_path / "corpus")
    items = [replace(item, crc32=None) for item in synth_catalog]
    write_catalog(tmp_path / "c.parquet", items, str(tmp_path / "corpus"))
    (tmp_path / "corpus" / items[3].shard).write_bytes(bytes(items[3].length_bytes))
    (tmp_path / "corpus" / items[5].shard).unlink()
    catalog = Catalog.open(tmp_path / "c.parquet")
    return StreamSource(
        catalog=catalog,
        plan=Plan(seed=0, rows=catalog.rows_with(video=True), global_batch=4),
        specs=(ViewSpec(sampler=PairConfig(num_frames=2), geometry=Geometry()),),
    )


def entry(catalog: Catalog, row: int, epoch: int = 0) -> QuarantineEntry:
    return QuarantineEntry(
        step=4,
        epoch=epoch,
        item=row,
        draw=0,
        key=catalog[row].key,
        uri="",
        offset_bytes=0,
        length_bytes=0,
        stage="open",
        error="",
        reason="",
        attempts=1,
        node="",
        time_utc="",
    )


def test_what_works_now_and_what_does_not(source: StreamSource) -> None:
    keys = source.catalog.keys()
    entries = [entry(source.catalog, row) for row in (7, 5, 3, 2)]
    entries += [entry(source.catalog, 7, epoch=1)]
    told: list[tuple[int, int]] = []
    known = replace(source, known_bad=KnownBad(entries))
    usable, failures = retry_items(
        known, entries, plain_stream, lambda done, end: told.append((done, end))
    )
    assert usable == (keys[2], keys[7])
    assert [(failure.key, failure.stage) for failure in failures] == [
        *((keys[3], "open"), (keys[5], "read")),
    ]
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_entries_of_another_catalogue_are_refused(source: StreamSource) -> None:
    moved = replace(entry(source.catalog, 2), item=4)
    beyond = replace(entry(source.catalog, 2), item=len(source.catalog))
    for wrong in (moved, beyond):
        with pytest.raises(ConfigError, match="put the catalogue back"):
            retry_items(source, [wrong], plain_stream)
