"""Byte ranges are exact: whole files, members of tar shards, over http, and through a window."""

import io
import tarfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avrep.errors import ConfigError, ShardError
from avrep.media import shards
from avrep.media.sources import list_sources
from avrep.types import MediaItem
from tests.servers.faulty_http import faulty_server

CONTENT = np.random.default_rng(0).bytes(5000)


def item_of(shard: str, offset: int = 0, length: int = len(CONTENT)) -> MediaItem:
    return MediaItem(key="k", shard=shard, offset_bytes=offset, length_bytes=length, duration_s=1.0)


@pytest.fixture
def http_url(tmp_path: Path) -> Iterator[str]:
    with faulty_server(tmp_path) as server:
        yield server.url


def test_a_file_and_a_part_of_it(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(CONTENT)
    assert shards.read(item_of("a.bin"), str(tmp_path)) == CONTENT
    assert shards.read(item_of("a.bin", 100, 7), str(tmp_path)) == CONTENT[100:107]
    assert shards.read(item_of(str(tmp_path / "a.bin"), 4999, 1), "elsewhere") == CONTENT[4999:]


def test_http_ranges(tmp_path: Path, http_url: str) -> None:
    (tmp_path / "a.bin").write_bytes(CONTENT)
    assert shards.read(item_of("a.bin", 1000, 256), http_url) == CONTENT[1000:1256]
    with shards.open_window(item_of("a.bin", 1000, 256), http_url) as window:
        window.seek(6)
        assert window.read(10) == CONTENT[1006:1016]


def test_a_url_is_listed_and_read(tmp_path: Path, http_url: str) -> None:
    (tmp_path / "a.mp4").write_bytes(CONTENT)
    listing = list_sources([f"{http_url}/a.mp4"])
    (entry,) = listing.entries
    assert (entry.key, entry.length_bytes) == ("a.mp4", len(CONTENT))
    item = item_of(entry.shard, entry.offset_bytes, entry.length_bytes)
    assert shards.read(item, listing.root) == CONTENT


def test_members_of_a_tar_are_found_and_read_without_unpacking(tmp_path: Path) -> None:
    members = {"one.mp4": CONTENT[:700], "deep/two.wav": CONTENT[700:1900], "note.txt": b"no media"}
    sidecar = b'{"class": "jump", "score": 3, "nested": {"x": 1}}'
    with tarfile.open(tmp_path / "shard-0.tar", "w") as tar:
        for name, data in (*members.items(), ("one.json", sidecar)):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    listing = list_sources([str(tmp_path)])
    found = {entry.key: entry for entry in listing.entries}
    assert set(found) == {"shard-0.tar/one.mp4", "shard-0.tar/deep/two.wav"}
    assert found["shard-0.tar/one.mp4"].labels == {"class": "jump", "score": "3"}
    assert found["shard-0.tar/deep/two.wav"].labels == {"class": "deep"}
    for entry in listing.entries:
        item = item_of(entry.shard, entry.offset_bytes, entry.length_bytes)
        assert shards.read(item, listing.root) == members[entry.key.removeprefix("shard-0.tar/")]


def test_a_damaged_tar_is_reported_and_the_rest_is_listed(tmp_path: Path) -> None:
    (tmp_path / "bad.tar").write_bytes(CONTENT)
    (tmp_path / "good.mp4").write_bytes(CONTENT)
    listing = list_sources([str(tmp_path)])
    assert [entry.key for entry in listing.entries] == ["good.mp4"]
    assert listing.unreadable[0][0] == "bad.tar"


def test_too_few_bytes_and_missing_files_are_errors(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(CONTENT)
    with pytest.raises(ShardError, match="gave 5000 of the 6000 bytes"):
        shards.read(item_of("a.bin", 0, 6000), str(tmp_path))
    with pytest.raises(ShardError, match=r"none\.bin"):
        shards.read(item_of("none.bin"), str(tmp_path))
    with pytest.raises(ShardError, match=r"none\.bin"):
        shards.open_window(item_of("none.bin"), str(tmp_path))


@given(
    steps=st.lists(
        st.tuples(st.integers(-50, 400), st.sampled_from([0, 1, 2]), st.integers(-1, 400)),
        max_size=12,
    )
)
@settings(max_examples=40, deadline=None)
def test_a_window_behaves_as_the_bytes_themselves(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[int, int, int]]
) -> None:
    path = tmp_path_factory.getbasetemp() / "window.bin"
    path.write_bytes(CONTENT)
    truth = io.BytesIO(CONTENT[1000:1300])
    with shards.open_window(item_of(str(path), 1000, 300), "") as window:
        for offset, whence, size in steps:
            if whence == 0:
                offset = abs(offset)
            elif truth.tell() + offset < 0 and whence == 1:
                offset = 0
            assert window.seek(offset, whence) == truth.seek(offset, whence)
            assert window.read(size) == truth.read(size)


def test_folders_labels_and_mistakes(tmp_path: Path) -> None:
    (tmp_path / "jump").mkdir()
    (tmp_path / "jump" / "a.mp4").write_bytes(b"x")
    (tmp_path / "top.mp4").write_bytes(b"x")
    (tmp_path / "notes.txt").write_text("no media")
    (tmp_path / ".hidden.mp4").write_bytes(b"x")
    listing = list_sources([str(tmp_path)])
    assert [(e.key, dict(e.labels)) for e in listing.entries] == [
        ("jump/a.mp4", {"class": "jump"}),
        ("top.mp4", {}),
    ]
    assert listing.num_passed_over == 1
    (tmp_path / "labels.csv").write_text("path,shape,speed\njump/a.mp4,disc,\n")
    assert [dict(e.labels) for e in list_sources([str(tmp_path)]).entries] == [
        {"shape": "disc"},
        {},
    ]
    (tmp_path / "labels.csv").write_text("file,shape\njump/a.mp4,disc\n")
    listing = list_sources([str(tmp_path)])
    assert [dict(e.labels) for e in listing.entries] == [{"class": "jump"}, {}]
    (notice,) = listing.notices
    assert "is not used: it has no column `path`, but file, shape" in notice
    with pytest.raises(ConfigError, match="no such file, folder or URL"):
        list_sources([str(tmp_path / "none")])
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match="no media below"):
        list_sources([str(tmp_path / "empty")])


def test_several_sources_keep_their_names_in_the_keys(tmp_path: Path) -> None:
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.wav").write_bytes(name.encode())
    listing = list_sources([str(tmp_path / "first"), str(tmp_path / "second")])
    assert [entry.key for entry in listing.entries] == ["first/a.wav", "second/a.wav"]
    contents = [
        shards.read(item_of(e.shard, 0, e.length_bytes), listing.root) for e in listing.entries
    ]
    assert contents == [b"first", b"second"]
