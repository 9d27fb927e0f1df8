"""Neighbours come with one request, each exact, and a bad range costs the items in it only."""

import io
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from avrep.errors import ShardError
from avrep.media import shards
from avrep.media.sources import list_sources
from avrep.media.spans import spans
from avrep.media.storage import StorageConfig
from avrep.types import MediaItem
from tests.servers.faulty_http import Fault, FaultyServer, faulty_server

pytestmark = pytest.mark.faults

SWIFT = StorageConfig(max_attempts=3, first_wait_s=0.001, timeout_s=10)
MEMBERS = [np.random.default_rng(i).bytes(700 * i + 1) for i in range(12)]


def item_of(shard: str, offset: int, length: int, crc32: int | None = None) -> MediaItem:
    return MediaItem(
        key=f"{shard}:{offset}",
        shard=shard,
        offset_bytes=offset,
        length_bytes=length,
        duration_s=1.0,
        crc32=crc32,
    )


@pytest.fixture
def server(tmp_path: Path) -> Iterator[FaultyServer]:
    with faulty_server(tmp_path) as server:
        yield server


@pytest.fixture
def items(tmp_path: Path) -> list[MediaItem]:
    """The members of a tar shard in the WebDataset layout, with their checksums."""
    with tarfile.open(tmp_path / "s.tar", "w") as tar:
        for number, content in enumerate(MEMBERS):
            for suffix, data in (("mp4", content), ("json", b'{"class": "jump"}')):
                info = tarfile.TarInfo(f"{number:03d}.{suffix}")
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    entries = list_sources([str(tmp_path / "s.tar")]).entries
    assert len(entries) == len(MEMBERS)
    return [
        item_of("s.tar", e.offset_bytes, e.length_bytes, zlib.crc32(content))
        for e, content in zip(entries, MEMBERS, strict=True)
    ]


def test_a_block_of_a_shard_is_one_request(server: FaultyServer, items: list[MediaItem]) -> None:
    assert shards.read_many(items, server.url, SWIFT) == MEMBERS
    assert server.count("/s.tar") == 1
    some = [items[i] for i in (7, 2, 2, 5)]
    assert shards.read_many(some, server.url, SWIFT) == [MEMBERS[i] for i in (7, 2, 2, 5)]
    assert server.count("/s.tar") == 2
    (request,) = {r.range for r in server.requests[1:]}
    assert request == f"bytes={items[2].offset_bytes}-{items[7].offset_bytes + 4900}"


def test_a_span_is_exact(server: FaultyServer, items: list[MediaItem], tmp_path: Path) -> None:
    whole = (tmp_path / "s.tar").read_bytes()
    server.plan("/s.tar", Fault(kind="cut", num_bytes=9), Fault(kind="status", status=503))
    assert shards.read_span(f"{server.url}/s.tar", 1000, 5000, SWIFT) == whole[1000:6000]
    assert server.count("/s.tar") == 3
    assert items[0].offset_bytes == 512
    with pytest.raises(ShardError, match=r"s\.tar, bytes 1 to 10\d+: it has \d+ bytes"):
        shards.read_span(f"{server.url}/s.tar", 1, 10**6, SWIFT)


def test_bytes_changed_on_the_way_are_fetched_again_alone(
    server: FaultyServer, items: list[MediaItem]
) -> None:
    server.plan("/s.tar", Fault(kind="flip", num_bytes=items[6].offset_bytes - 512 + 99))
    assert shards.read_many(items, server.url, SWIFT) == MEMBERS
    again = f"bytes={items[6].offset_bytes}-{items[6].offset_bytes + 4200}"
    assert [r.range for r in server.requests[1:]] == [again]


def test_a_member_that_changed_in_the_store_is_the_only_loss(
    server: FaultyServer, items: list[MediaItem], tmp_path: Path
) -> None:
    with (tmp_path / "s.tar").open("r+b") as file:
        file.seek(items[4].offset_bytes + 10)
        file.write(b"changed")
    contents = shards.read_many(items, server.url, SWIFT)
    for number, content in enumerate(contents):
        if number == 4:
            assert isinstance(content, ShardError)
            assert "index again" in str(content)
        else:
            assert content == MEMBERS[number]
    # The same wrong bytes came with the span and alone: that is enough.
    assert server.count("/s.tar") == 2


def test_a_shard_that_was_cut_costs_the_members_beyond_the_cut(
    server: FaultyServer, items: list[MediaItem], tmp_path: Path
) -> None:
    whole = (tmp_path / "s.tar").read_bytes()
    (tmp_path / "s.tar").write_bytes(whole[: items[9].offset_bytes + 50])
    contents = shards.read_many(items, server.url, SWIFT)
    assert contents[:9] == MEMBERS[:9]
    for content in contents[9:]:
        assert isinstance(content, ShardError)
        assert "was it changed since it was indexed" in str(content)


def test_a_span_that_fails_for_good_is_read_one_by_one(
    server: FaultyServer, items: list[MediaItem]
) -> None:
    broken = Fault(kind="status", status=500)
    # Three attempts at the span, then three at the first item; the store is well again after that.
    server.plan("/s.tar", *[broken] * 6)
    contents = shards.read_many(items, server.url, SWIFT)
    assert isinstance(contents[0], ShardError)
    assert contents[1:] == MEMBERS[1:]
    assert server.count("/s.tar") == 6 + 11


def test_one_shard_that_is_gone_costs_its_items_only(
    server: FaultyServer, items: list[MediaItem]
) -> None:
    gone = [replace(item, shard="gone.tar") for item in items[:2]]
    mixed = [gone[0], items[3], gone[1], items[4], item_of("s.tar", 5, 0)]
    contents = shards.read_many(mixed, server.url, SWIFT)
    assert [contents[1], contents[3], contents[4]] == [MEMBERS[3], MEMBERS[4], b""]
    for place in (0, 2):
        assert isinstance(contents[place], ShardError)
        assert "gone.tar" in str(contents[place])
    assert shards.read_many([], server.url) == []


def test_from_a_disk(items: list[MediaItem], tmp_path: Path) -> None:
    assert shards.read_many(items, str(tmp_path)) == MEMBERS


RANGES = st.lists(
    st.tuples(st.sampled_from("ab"), st.integers(0, 300), st.integers(0, 60)), max_size=25
)


@given(RANGES, st.integers(0, 40), st.integers(1, 120))
@example([("a", 0, 0), ("a", 1, 0), ("a", 2, 0)], 1, 2)
@settings(max_examples=200, deadline=None)
def test_spans_hold_every_item_once_and_nothing_wider_than_allowed(
    ranges: list[tuple[str, int, int]], max_gap: int, max_span: int
) -> None:
    items = [item_of(*r) for r in ranges]
    found = spans(items, max_gap, max_span)
    assert sorted(place for span in found for place in span.places) == list(range(len(items)))
    assert [(s.shard, s.offset_bytes) for s in found] == sorted(
        (s.shard, s.offset_bytes) for s in found
    )
    for span in found:
        members = [items[place] for place in span.places]
        end = span.offset_bytes + span.length_bytes
        assert {m.shard for m in members} == {span.shard}
        assert span.offset_bytes == min(m.offset_bytes for m in members)
        assert end == max(m.offset_bytes + m.length_bytes for m in members)
        assert span.length_bytes <= max_span or len(members) == 1
        # Byte by byte: no run of bytes that belong to no member is longer than a gap may be.
        used = np.zeros(span.length_bytes, bool)
        for member in members:
            start = member.offset_bytes - span.offset_bytes
            used[start : start + member.length_bytes] = True
        # An item without bytes ends a gap as well.
        empty = sorted(m.offset_bytes - span.offset_bytes for m in members if not m.length_bytes)
        for piece in np.split(used, empty):
            runs = "".join("x" if byte else "." for byte in piece).split("x")
            assert max(map(len, runs)) <= max_gap


@given(RANGES, st.integers(0, 40))
@settings(max_examples=200, deadline=None)
def test_spans_are_as_few_as_the_gaps_allow(
    ranges: list[tuple[str, int, int]], max_gap: int
) -> None:
    """With no bound on their length, two spans of a shard lie further apart than a gap may be."""
    found = spans([item_of(*r) for r in ranges], max_gap, 10**9)
    for left, right in pairwise(found):
        if left.shard == right.shard:
            assert right.offset_bytes - left.offset_bytes - left.length_bytes > max_gap


def test_spans_by_hand() -> None:
    items = [item_of("a", 100, 50), item_of("a", 0, 40), item_of("a", 45, 5), item_of("b", 0, 9)]
    first, second, third = spans(items, max_gap_bytes=10, max_span_bytes=1000)
    assert (first.shard, first.offset_bytes, first.length_bytes, first.places) == (
        "a",
        0,
        50,
        (1, 2),
    )
    assert (second.offset_bytes, second.length_bytes, second.places) == (100, 50, (0,))
    assert (third.shard, third.places) == ("b", (3,))
    assert len(spans(items, max_gap_bytes=50, max_span_bytes=1000)) == 2
    assert len(spans(items, max_gap_bytes=50, max_span_bytes=149)) == 3
