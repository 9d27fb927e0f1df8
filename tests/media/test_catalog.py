"""The catalogue gives back what was written, row by row, and refuses what it cannot read."""

import json
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avrep.errors import ConfigError
from avrep.media.catalog import SCHEMA, Catalog, write_catalog
from avrep.types import AudioStream, MediaItem, VideoStream


def make_item(number: int, *, video: bool = True, audio: bool = True) -> MediaItem:
    return MediaItem(
        key=f"class_{number % 3}/clip_{number:06d}.mp4",
        shard=f"shard-{number // 10}.tar",
        offset_bytes=512 * number,
        length_bytes=1000 + number,
        duration_s=1.5 + number / 7,
        video=VideoStream(
            width_px=320,
            height_px=240,
            fps=30000 / 1001,
            num_frames=45 + number,
            codec="h264",
            rotation_deg=90,
            start_s=0.04,
            keyframes_s=np.array([0.04, 0.5 + number]),
        )
        if video
        else None,
        audio=AudioStream(rate_hz=48000, channels=2, codec="aac", start_s=0.0) if audio else None,
        labels={"class": f"class_{number % 3}", "split": "train"},
    )


def assert_same(left: MediaItem, right: MediaItem) -> None:
    assert left.key == right.key
    for name in ("shard", "offset_bytes", "length_bytes", "duration_s", "audio", "labels"):
        assert getattr(left, name) == getattr(right, name), name
    if left.video is None or right.video is None:
        assert left.video is right.video
        return
    for name in ("width_px", "height_px", "fps", "num_frames", "codec", "rotation_deg", "start_s"):
        assert getattr(left.video, name) == getattr(right.video, name), name
    np.testing.assert_array_equal(left.video.keyframes_s, right.video.keyframes_s)


def test_every_row_of_several_row_groups_comes_back(tmp_path: Path) -> None:
    items = [make_item(i, video=i % 4 > 0, audio=i % 3 > 0) for i in range(9001)]
    assert write_catalog(tmp_path / "c.parquet", items, "/data") == 9001
    catalog = Catalog.open(tmp_path / "c.parquet")
    assert len(catalog) == 9001
    assert catalog.root == "/data"
    for row in (0, 4095, 4096, 8191, 8192, 9000):
        assert_same(catalog[row], items[row])
    assert [item.key for item in catalog] == [item.key for item in items]
    assert list(catalog.rows_with(video=True)) == [i for i in range(9001) if i % 4 > 0]
    assert list(catalog.rows_with(audio=True)) == [i for i in range(9001) if i % 3 > 0]
    assert list(catalog.rows_with(video=True, audio=True))[:2] == [1, 2]


@given(st.lists(st.text(min_size=1, max_size=20), unique=True, min_size=1, max_size=8))
@settings(max_examples=25, deadline=None)
def test_any_key_and_label_survives(
    tmp_path_factory: pytest.TempPathFactory, keys: list[str]
) -> None:
    path = tmp_path_factory.mktemp("catalog") / "c.parquet"
    items = [
        MediaItem(
            key=key, shard=key, offset_bytes=0, length_bytes=1, duration_s=0.0, labels={key: key}
        )
        for key in keys
    ]
    write_catalog(path, items, "")
    catalog = Catalog.open(path)
    assert [(item.key, item.labels) for item in catalog] == [(key, {key: key}) for key in keys]


def test_it_travels_as_its_path(tmp_path: Path) -> None:
    write_catalog(tmp_path / "c.parquet", [make_item(i) for i in range(5)], "/data")
    catalog = Catalog.open(tmp_path / "c.parquet", root="/moved")
    copy = pickle.loads(pickle.dumps(catalog))
    assert copy.root == "/moved"
    assert copy.digest == catalog.digest
    assert_same(copy[3], catalog[3])
    assert len(pickle.dumps(catalog)) < 1000


def test_digest_tells_corpora_apart(tmp_path: Path) -> None:
    digests = set()
    for n, items in enumerate([[0, 1], [1, 0], [0, 2], [0]]):
        write_catalog(tmp_path / f"{n}.parquet", [make_item(i) for i in items], "/data")
        digests.add(Catalog.open(tmp_path / f"{n}.parquet").digest)
    assert len(digests) == 4


def test_two_items_of_one_key_are_refused_and_the_old_catalogue_stays(tmp_path: Path) -> None:
    path = tmp_path / "c.parquet"
    write_catalog(path, [make_item(7)], "/data")
    with pytest.raises(ConfigError, match="two items have the key"):
        write_catalog(path, [make_item(1), make_item(1)], "/data")
    assert_same(Catalog.open(path)[0], make_item(7))


def test_what_is_no_catalogue_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no catalogue at"):
        Catalog.open(tmp_path / "none.parquet")
    (tmp_path / "text.parquet").write_text("hello")
    with pytest.raises(ConfigError, match="not a Parquet file"):
        Catalog.open(tmp_path / "text.parquet")
    pq.write_table(pa.table({"key": ["a"]}), tmp_path / "other.parquet")
    with pytest.raises(ConfigError, match="not a catalogue of version 1"):
        Catalog.open(tmp_path / "other.parquet")


def test_rows_outside_are_refused(tmp_path: Path) -> None:
    write_catalog(tmp_path / "c.parquet", [make_item(0)], "/data")
    for row in (-1, 1):
        with pytest.raises(IndexError):
            Catalog.open(tmp_path / "c.parquet")[row]


READ_A_FEW = """
import sys, tracemalloc
import numpy as np
import pyarrow as pa
from avrep.media.catalog import Catalog
tracemalloc.start()
catalog = Catalog.open(sys.argv[1])
rows = catalog.rows_with(video=True)
for row in np.random.default_rng(0).integers(0, len(catalog), 300):
    assert catalog[int(row)].key == f"clip_{row:07d}.mp4"
arrow, python = pa.default_memory_pool().max_memory(), tracemalloc.get_traced_memory()[1]
print(len(rows), arrow, python)
"""


@pytest.mark.slow
def test_a_million_rows_are_not_a_million_objects(tmp_path: Path) -> None:
    """As objects they would take about two gigabytes; reading here and there takes a fraction."""
    num_rows = 1_000_000
    numbers = np.arange(num_rows)
    keys = pa.array([f"clip_{number:07d}.mp4" for number in numbers])
    video = {"width_px": 320, "height_px": 240, "fps": 25.0, "num_frames": 250, "codec": "h264"}
    video |= {"rotation_deg": 0, "start_s": 0.0, "keyframes_s": [0.0, 2.0, 4.0, 6.0, 8.0]}
    columns = {
        "key": keys,
        "shard": keys,
        "offset_bytes": pa.array(numbers * 512),
        "length_bytes": pa.array(np.full(num_rows, 500)),
        "duration_s": pa.array(np.full(num_rows, 10.0)),
        "video": pa.array([video] * 1000, SCHEMA.field("video").type).take(numbers % 1000),
        "audio": pa.nulls(num_rows, SCHEMA.field("audio").type),
        "labels": pa.nulls(num_rows, SCHEMA.field("labels").type),
    }
    facts = {"version": 1, "root": "", "digest": "none"}
    schema = SCHEMA.with_metadata({b"avrep": json.dumps(facts).encode()})
    path = tmp_path / "million.parquet"
    table = pa.Table.from_pydict(columns, schema=schema)
    pq.write_table(table, path, row_group_size=4096, compression="zstd")
    command = [sys.executable, "-c", READ_A_FEW, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    num_found, arrow_bytes, python_bytes = map(int, done.stdout.split())
    assert num_found == num_rows
    assert 0 < arrow_bytes < 200 * 2**20
    assert 0 < python_bytes < 100 * 2**20
