"""A shard holds each of its items once, byte for byte as its rows say, or says why it does not."""

import json
import shutil
import sys
import tarfile
import zlib
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from avrep.errors import ShardError
from avrep.media import shards
from avrep.media.catalog import Catalog, write_catalog
from avrep.media.index import index_sources
from avrep.media.pack_plan import PackConfig
from avrep.media.pack_shard import PARTS, ShardFacts, pack_shard, read_facts, shard_name
from avrep.media.probe import probe
from avrep.types import MediaItem

COPY = PackConfig(mode="copy")


@pytest.fixture
def corpus(synth_catalog: Catalog) -> Catalog:
    return Catalog.open(synth_catalog.path)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    (tmp_path / "out" / PARTS).mkdir(parents=True)
    return tmp_path / "out"


def make(
    catalog: Catalog, out: Path, config: PackConfig
) -> tuple[ShardFacts, dict[str, MediaItem]]:
    facts = pack_shard(catalog, np.arange(len(catalog), dtype=np.int64), 7, out, config)
    assert read_facts(out, 7) == facts
    part = Catalog.open(out / PARTS / "000007.parquet", root=str(out))
    assert sorted(path.name for path in out.iterdir()) == [PARTS, shard_name(7)]
    return facts, {item.key: item for item in part}


def assert_rows_match_the_tar(items: dict[str, MediaItem], out: Path) -> None:
    whole = (out / shard_name(7)).read_bytes()
    with tarfile.open(out / shard_name(7)) as tar:
        members = {member.offset_data: member for member in tar}
        assert len(members) == 2 * len(items)
        for item in items.values():
            member = members[item.offset_bytes]
            assert member.size == item.length_bytes
            content = whole[item.offset_bytes : item.offset_bytes + item.length_bytes]
            assert item.crc32 == zlib.crc32(content)
            name = f"{member.name.rpartition('.')[0]}.json"
            sidecar = tar.extractfile(name)
            assert sidecar is not None
            told = json.load(sidecar)
            assert told.pop("__avrep__")["key"] == item.key
            assert told == dict(item.labels)


def test_copied_items_are_their_bytes(corpus: Catalog, out: Path) -> None:
    facts, items = make(corpus, out, COPY)
    assert (facts.num_items, facts.rejects) == (len(corpus), ())
    assert_rows_match_the_tar(items, out)
    for source in corpus:
        packed = items[source.key]
        assert shards.read(packed, str(out)) == shards.read(source, corpus.root)
        assert str(packed.video) == str(source.video)
        assert packed.audio == source.audio
        assert packed.duration_s == source.duration_s
        assert packed.labels == source.labels


def test_coded_items_are_what_their_rows_say(corpus: Catalog, out: Path) -> None:
    facts, items = make(corpus, out, PackConfig())
    assert (facts.num_items, facts.num_lost_frames) == (len(corpus), 0)
    assert facts.num_bytes == sum(item.length_bytes for item in items.values())
    assert_rows_match_the_tar(items, out)
    for key, packed in items.items():
        found = probe(shards.read(packed, str(out)), packed)
        assert (found.video is None) == key.endswith(".wav")
        if found.video is not None and packed.video is not None:
            np.testing.assert_array_equal(found.video.keyframes_s, packed.video.keyframes_s)
            assert len(found.video.keyframes_s) == -(-found.video.num_frames // 16)


def test_the_same_shard_is_the_same_bytes(corpus: Catalog, out: Path) -> None:
    make(corpus, out, PackConfig())
    first = {path.name: path.read_bytes() for path in out.rglob("*.*")}
    shutil.rmtree(out)
    (out / PARTS).mkdir(parents=True)
    make(corpus, out, PackConfig())
    assert {path.name: path.read_bytes() for path in out.rglob("*.*")} == first


def test_a_shard_can_be_indexed_again_with_its_labels(
    corpus: Catalog, out: Path, tmp_path: Path
) -> None:
    _, items = make(corpus, out, COPY)
    index_sources([str(out / shard_name(7))], tmp_path / "again.parquet", num_workers=1)
    again = {
        (item.offset_bytes, item.length_bytes): item
        for item in Catalog.open(tmp_path / "again.parquet")
    }
    assert len(again) == len(items)
    for item in items.values():
        found = again[item.offset_bytes, item.length_bytes]
        assert found.labels == item.labels
        assert found.duration_s == item.duration_s


def broken_corpus(folder: Path, source: Catalog) -> Catalog:
    """Eight good clips; then one of zeros, one that is gone, and one that lost its last bytes."""
    rows = [row for row, item in enumerate(source) if item.key.startswith("videos/")][:11]
    items = []
    for number, row in enumerate(rows):
        item = source[row]
        content = shards.read(item, source.root)
        name = f"{number:02d}.mp4"
        if number == 8:
            content = bytes(len(content))
        if number != 9:
            (folder / name).write_bytes(content[:-100] if number == 10 else content)
        items.append(
            probe(
                shards.read(item, source.root),
                MediaItem(
                    key=name, shard=name, offset_bytes=0, length_bytes=len(content), duration_s=0.0
                ),
            )
        )
    write_catalog(folder / "c.parquet", items, str(folder))
    return Catalog.open(folder / "c.parquet")


@pytest.mark.parametrize(("mode", "rejected"), [
    ("transcode", {"08.mp4": "open", "09.mp4": "read", "10.mp4": "read"}),
    ("copy", {"09.mp4": "read", "10.mp4": "read"}),
])  # fmt: skip
def test_bad_items_are_rejected_and_no_other(
    mode: str, rejected: dict[str, str], synth_catalog: Catalog, out: Path, tmp_path: Path
) -> None:
    catalog = broken_corpus(tmp_path, synth_catalog)
    facts, items = make(catalog, out, PackConfig.model_validate({"mode": mode}))
    assert {reject.key: reject.stage for reject in facts.rejects} == rejected
    assert all(reject.reason and reject.length_bytes for reject in facts.rejects)
    assert sorted([*items, *rejected]) == catalog.keys()
    assert_rows_match_the_tar(items, out)


DEADLY = """
import os, signal, time
from avrep.media.transcode import transcode_item

def deadly(item, root, path, coding):
    if item.key == "03.mp4":
        path.write_bytes(b"half a file")
        os.kill(os.getpid(), signal.SIGSEGV)
    if item.key == "05.mp4":
        time.sleep(600)
    return transcode_item(item, root, path, coding)
"""


def test_items_that_crash_or_hang_their_decoder_are_rejected_and_no_other(
    synth_catalog: Catalog, out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "deadly_coder.py").write_text(DEADLY)
    monkeypatch.syspath_prepend(str(tmp_path))
    deadly = import_module("deadly_coder").deadly
    monkeypatch.setattr("avrep.media.pack_shard.transcode_item", deadly)
    monkeypatch.setattr("avrep.media.pack_shard._DEADLINE_LENGTHS", 0)
    catalog = broken_corpus(tmp_path, synth_catalog)
    facts, items = make(catalog, out, PackConfig(deadline_s=4))
    stages = {reject.key: reject.stage for reject in facts.rejects}
    assert stages.pop("03.mp4") == "crash"
    assert stages.pop("05.mp4") == "deadline"
    assert stages == {"08.mp4": "open", "09.mp4": "read", "10.mp4": "read"}
    assert len(items) == 6
    assert_rows_match_the_tar(items, out)
    sys.modules.pop("deadly_coder")


def test_storage_that_is_gone_makes_no_shard_of_rejects(
    synth_catalog: Catalog, out: Path, tmp_path: Path
) -> None:
    catalog = broken_corpus(tmp_path, synth_catalog)
    for number in range(7):
        (tmp_path / f"{number:02d}.mp4").unlink()
    with pytest.raises(ShardError, match=r"6 of 11 items of a shard cannot be read"):
        pack_shard(catalog, np.arange(11, dtype=np.int64), 0, out, COPY)
    assert read_facts(out, 0) is None
    assert sorted(path.name for path in out.rglob("*")) == [PARTS]


def test_large_items_are_copied_piece_by_piece(
    corpus: Catalog, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shards, "WHOLE_READ_BYTES", 1000)
    monkeypatch.setattr("avrep.media.pack_shard._PIECE_BYTES", 777)
    _, items = make(corpus, out, COPY)
    assert_rows_match_the_tar(items, out)
    assert len(items) == len(corpus)
