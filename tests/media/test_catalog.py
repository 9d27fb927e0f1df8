"""The catalogue gives back what was written, row by row, and refuses what it cannot read."""

import hashlib
import json
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
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
        crc32=None if number % 5 == 0 else 2**32 - 1 - number,
    )


def assert_same(left: MediaItem, right: MediaItem) -> None:
    assert left.key == right.key
    for name in ("shard", "offset_bytes", "length_bytes", "duration_s", "audio", "labels", "crc32"):
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
    for found, item in zip(catalog, items, strict=True):
        assert_same(found, item)
    assert list(catalog.rows_with(video=True)) == [i for i in range(9001) if i % 4 > 0]
    assert list(catalog.rows_with(audio=True)) == [i for i in range(9001) if i % 3 > 0]
    assert list(catalog.rows_with(video=True, audio=True))[:2] == [1, 2]


def test_many_rows_come_as_they_were_asked_for(tmp_path: Path) -> None:
    items = [make_item(i) for i in range(9001)]
    write_catalog(tmp_path / "c.parquet", items, "/data")
    catalog = Catalog.open(tmp_path / "c.parquet")
    for rows in ([], [9000, 0, 4096, 4095, 0], range(4090, 4100), np.arange(8190, 8200)):
        found = catalog.items(rows)
        assert len(found) == len(rows)
        for item, row in zip(found, rows, strict=True):
            assert_same(item, items[row])
    for rows in ([0, 9001], [-1]):
        with pytest.raises(IndexError, match="of a catalogue of 9001 items"):
            catalog.items(rows)


def test_a_row_group_is_decoded_once_for_all_its_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_catalog(tmp_path / "c.parquet", [make_item(i) for i in range(9001)], "/data")
    decoded: list[int] = []
    original = pq.ParquetFile.read_row_group

    def counted(file: pq.ParquetFile, group: int, **settings: Any) -> pa.Table:
        decoded.append(group)
        return original(file, group, **settings)

    monkeypatch.setattr(pq.ParquetFile, "read_row_group", counted)
    catalog = Catalog.open(tmp_path / "c.parquet")
    catalog.items(range(4000, 4200))
    assert sorted(decoded) == [0, 1]
    catalog[4100]
    assert sorted(decoded) == [0, 1]
    # All of these have picture and sound, which the footer tells.
    assert len(catalog.rows_with(video=True, audio=True)) == 9001
    assert sorted(decoded) == [0, 1]


def test_threads_share_a_catalogue(tmp_path: Path) -> None:
    items = [make_item(i) for i in range(90)]
    with pq.ParquetWriter(tmp_path / "c.parquet", small_groups_schema()) as writer:
        writer.write_table(table_of(items), row_group_size=2)
    catalog = Catalog.open(tmp_path / "c.parquet")
    rows = np.random.default_rng(0).integers(0, 90, 2000).tolist()
    with ThreadPoolExecutor(8) as pool:
        for row, item in zip(rows, pool.map(catalog.__getitem__, rows), strict=True):
            assert_same(item, items[row])


@pytest.mark.parametrize("are_told", [True, False])
def test_streams_are_found_with_statistics_and_without(tmp_path: Path, are_told: bool) -> None:
    """Row groups of six: all have picture, none has, and a mixture; sound likewise, otherwise."""
    items = [make_item(i, video=i < 6 or i == 14, audio=i % 6 > 3 or i < 6) for i in range(40)]
    with pq.ParquetWriter(
        tmp_path / "c.parquet", small_groups_schema(), write_statistics=are_told
    ) as writer:
        writer.write_table(table_of(items), row_group_size=6)
    catalog = Catalog.open(tmp_path / "c.parquet")
    assert list(catalog.rows_with()) == list(range(40))
    assert list(catalog.rows_with(video=True)) == [0, 1, 2, 3, 4, 5, 14]
    sound = [i for i in range(40) if i % 6 > 3 or i < 6]
    assert list(catalog.rows_with(audio=True)) == sound
    assert list(catalog.rows_with(video=True, audio=True)) == [0, 1, 2, 3, 4, 5]
    assert catalog.rows_with(audio=True).dtype == np.int64


def test_a_catalogue_from_before_checksums_is_read(tmp_path: Path) -> None:
    items = [make_item(i) for i in range(20)]
    table = table_of(items).drop_columns(["crc32"])
    old = table.replace_schema_metadata(small_groups_schema().metadata)
    pq.write_table(old, tmp_path / "old.parquet")
    catalog = Catalog.open(tmp_path / "old.parquet")
    for row, item in enumerate(items):
        assert_same(catalog[row], replace(item, crc32=None))


def test_the_digest_is_over_keys_shards_and_byte_ranges(tmp_path: Path) -> None:
    """As it was before there were checksums, so that runs go on with a catalogue made again."""
    items = [make_item(i) for i in range(3)]
    write_catalog(tmp_path / "c.parquet", items, "/data")
    lines = "".join(f"{i.key}\0{i.shard}\0{i.offset_bytes}\0{i.length_bytes}\n" for i in items)
    expected = hashlib.sha256(lines.encode()).hexdigest()
    assert Catalog.open(tmp_path / "c.parquet").digest == expected
    write_catalog(tmp_path / "c.parquet", [replace(i, crc32=7) for i in items], "/data")
    assert Catalog.open(tmp_path / "c.parquet").digest == expected


@pytest.mark.faults
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="has no /dev/full")
def test_a_full_disk_leaves_the_earlier_catalogue(tmp_path: Path) -> None:
    path = tmp_path / "c.parquet"
    write_catalog(path, [make_item(7)], "/data")
    before = path.read_bytes()
    # Whatever is written next goes to the device that is always full.
    (tmp_path / "c.parquet.partial").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left on device") as caught:
        write_catalog(path, [make_item(i) for i in range(5000)], "/data")
    text = str(caught.value)
    assert text.startswith(f"cannot write the catalogue {path}: ")
    assert text.endswith(
        "the earlier catalogue is untouched; make room, or write it elsewhere (-o)"
    )
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["c.parquet"]
    write_catalog(path, [make_item(i) for i in range(5000)], "/data")
    assert len(Catalog.open(path)) == 5000


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


def test_another_catalogue_in_its_place_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A decode actor that is started later must not read rows of other items."""
    monkeypatch.chdir(tmp_path)
    write_catalog(Path("c.parquet"), [make_item(i) for i in range(5)], "/data")
    sent = pickle.dumps(Catalog.open("c.parquet"))
    monkeypatch.chdir("/")
    assert len(pickle.loads(sent)) == 5
    write_catalog(tmp_path / "c.parquet", [make_item(i) for i in range(1, 6)], "/data")
    with pytest.raises(ConfigError, match=r"c\.parquet was indexed again while it was read"):
        pickle.loads(sent)


def test_a_root_holds_for_processes_that_stand_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_catalog(tmp_path / "c.parquet", [make_item(0)], "/data")
    monkeypatch.chdir(tmp_path)
    assert Catalog.open("c.parquet", root="moved").root == str(tmp_path / "moved")
    assert Catalog.open("c.parquet", root="s3://bucket/x").root == "s3://bucket/x"


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


def table_of(items: list[MediaItem]) -> pa.Table:
    """The rows as a slow restatement writes them."""
    rows = [asdict(item) | {"labels": list(item.labels.items())} for item in items]
    return pa.Table.from_pylist(rows, schema=small_groups_schema())


def small_groups_schema() -> pa.Schema:
    facts = {"version": 1, "root": "", "digest": "none"}
    return SCHEMA.with_metadata({b"avrep": json.dumps(facts).encode()})


def write_ten_million(path: Path) -> None:
    """Every row has picture, two rows of three have sound, mixed in every row group."""
    num_rows, num_at_once = 10_000_000, 2**16
    video = {"width_px": 320, "height_px": 240, "fps": 25.0, "num_frames": 250, "codec": "h264"}
    video |= {"rotation_deg": 0, "start_s": 0.0, "keyframes_s": [0.0, 2.0, 4.0, 6.0, 8.0]}
    audio = {"rate_hz": 48000, "channels": 2, "codec": "aac", "start_s": 0.0}
    videos = pa.array([video] * 4096, SCHEMA.field("video").type)
    audios = pa.array([audio if i % 3 else None for i in range(4096)], SCHEMA.field("audio").type)
    with pq.ParquetWriter(path, small_groups_schema(), compression="zstd") as writer:
        for first in range(0, num_rows, num_at_once):
            numbers = np.arange(first, min(first + num_at_once, num_rows))
            names = pa.array(numbers).cast(pa.string())
            columns = {
                "key": pc.call_function("binary_join_element_wise", ["clip_", names, ".mp4", ""]),
                "shard": pa.array(numbers // 1000).cast(pa.string()),
                "offset_bytes": pa.array(numbers * 512),
                "length_bytes": pa.array(numbers % 5000),
                "duration_s": pa.array(numbers / 7),
                "video": videos.take(pa.array(numbers % 4096)),
                "audio": audios.take(pa.array(numbers % 4096)),
                "labels": pa.nulls(len(numbers), SCHEMA.field("labels").type),
                "crc32": pa.array(numbers.astype(np.uint32)),
            }
            table = pa.Table.from_pydict(columns, schema=small_groups_schema())
            writer.write_table(table, row_group_size=4096)


READ_A_FEW = """
import json, sys, time, resource
import numpy as np
from avrep.media.catalog import Catalog

def peak_bytes():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

facts = {"at_start": peak_bytes()}
start = time.process_time()
catalog = Catalog.open(sys.argv[1])
facts["open_cpu_s"], facts["open_bytes"] = time.process_time() - start, peak_bytes()
facts["num_rows"] = len(catalog)
facts["num_video"] = len(catalog.rows_with(video=True))
facts["num_audio"] = len(catalog.rows_with(audio=True))
for row in np.random.default_rng(0).integers(0, len(catalog), 300):
    assert catalog[int(row)].key == f"clip_{row}.mp4"
    assert catalog[int(row)].crc32 == row
facts["cpu_s"], facts["end_bytes"] = time.process_time() - start, peak_bytes()
facts["has_pandas"] = "pandas" in sys.modules
print(json.dumps(facts))
"""


@pytest.mark.slow
def test_ten_million_rows_are_not_ten_million_objects(tmp_path: Path) -> None:
    """As objects they would take about twenty gigabytes; reading here and there takes a fraction.

    Measured on two cores: opened in 0.05 s and 50 MB, the rows with sound in 0.4 s, 220 MB in all,
    of which the file's own mapped pages and two arrays of row numbers (80 and 53 MB) are most.
    """
    path = tmp_path / "many.parquet"
    write_ten_million(path)
    command = [sys.executable, "-c", READ_A_FEW, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    facts = json.loads(done.stdout)
    assert facts["num_rows"] == facts["num_video"] == 10_000_000
    assert facts["num_audio"] == int((np.arange(10_000_000) % 4096 % 3 > 0).sum())
    assert facts["open_bytes"] - facts["at_start"] < 100 * 2**20
    assert facts["end_bytes"] - facts["at_start"] < 400 * 2**20
    # A second and a half of every decode actor's start.
    assert not facts["has_pandas"]
