"""The same promises over S3: a real server that speaks it, behind one that plants faults."""

import io
import tarfile
import threading
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest

from avrep.errors import ShardError
from avrep.media import shards
from avrep.media.catalog import Catalog
from avrep.media.index import index_sources, read_rejects
from avrep.media.sources import list_sources
from avrep.media.storage import StorageConfig
from avrep.types import MediaItem
from tests.servers.faulty_http import Fault, FaultyServer
from tests.servers.s3_store import CREDENTIALS, faulty_s3

pytestmark = pytest.mark.faults

Record = Callable[[str, object], None]

SWIFT = StorageConfig(max_attempts=4, first_wait_s=0.001, timeout_s=10)
# Where nothing comes: on a busy machine it may be over with an answer that is on its way, too.
HASTY = StorageConfig(max_attempts=4, first_wait_s=0.001, timeout_s=0.4)
STALLS = ("stall", "mute")
CONTENT = np.random.default_rng(0).bytes(60_000)
OBJECT = "/corpus/a.bin"

PASSING = {
    "slow_down": Fault(kind="status", status=503, code="SlowDown"),
    "internal_error": Fault(kind="status", status=500, code="InternalError"),
    "request_timeout": Fault(kind="status", status=400, code="RequestTimeout"),
    "cut": Fault(kind="cut", num_bytes=300),
    "drop": Fault(kind="drop"),
    "short": Fault(kind="short", num_bytes=998),
    "flip": Fault(kind="flip"),
    "stall": Fault(kind="stall", num_bytes=300),
    "mute": Fault(kind="mute"),
}


@pytest.fixture(scope="module")
def running() -> Iterator[FaultyServer]:
    """A store with the bucket `corpus`, reached through a server that plants faults."""
    with faulty_s3("corpus") as server:
        yield server


@pytest.fixture
def server(running: FaultyServer) -> FaultyServer:
    running.forget()
    store().pipe("corpus/a.bin", CONTENT)
    for storage in (SWIFT, HASTY):
        # A client takes its time to be made, and is then kept.
        shards.read(item_of(), "s3://corpus", storage)
    running.forget()
    return running


def store() -> Any:
    return fsspec.filesystem("s3")


def item_of(offset: int = 2000, length: int = 1000, key: str = "a.bin") -> MediaItem:
    crc32 = zlib.crc32(CONTENT[offset : offset + length])
    return MediaItem(
        key=key, shard=key, offset_bytes=offset, length_bytes=length, duration_s=1, crc32=crc32
    )


@pytest.mark.parametrize("fault", PASSING.values(), ids=PASSING.keys())
def test_a_fault_that_passes_costs_a_request(
    server: FaultyServer, fault: Fault, record_property: Record
) -> None:
    record_property(
        "fault", "an S3 store answers 500, 503 or 429, cuts, drops, stalls, sends other bytes"
    )
    record_property("planted", 2)
    record_property("result", "the exact bytes, one request more for each fault")
    server.plan(OBJECT, fault, replace(fault, num_bytes=fault.num_bytes + 1))
    if fault.kind in STALLS:
        assert shards.read(item_of(), "s3://corpus", HASTY) == CONTENT[2000:3000]
        assert server.count(OBJECT) >= 3
    else:
        assert shards.read(item_of(), "s3://corpus", SWIFT) == CONTENT[2000:3000]
        assert server.count(OBJECT) == 3


@pytest.mark.parametrize("fault", PASSING.values(), ids=PASSING.keys())
def test_a_fault_that_stays_is_an_error_that_names_everything(
    server: FaultyServer, fault: Fault, record_property: Record
) -> None:
    record_property("fault", "an S3 store goes on like that")
    record_property("planted", 1)
    record_property("result", "given up, with one line that names object, bytes and reason")
    server.always(OBJECT, fault)
    with pytest.raises(ShardError) as caught:
        shards.read(item_of(), "s3://corpus", HASTY if fault.kind in STALLS else SWIFT)
    text = str(caught.value)
    assert text.startswith("cannot read s3://corpus/a.bin, bytes 2000 to 3000: ")
    assert "\n" not in text
    assert ("4 attempts, the last: " in text) is (fault.kind != "flip")
    # Ours are all the attempts: neither s3fs nor botocore asks again behind our back. (aiohttp does
    # where a connection is dropped without an answer.)
    assert server.count(OBJECT) == {"drop": 8, "flip": 2}.get(fault.kind, 4)


@pytest.mark.parametrize(
    ("status", "code", "reason"),
    [
        (404, "NoSuchKey", "there is no such object; was it moved or deleted"),
        (403, "AccessDenied", r"access is refused \(HTTP 403\); check the credentials"),
        (403, "ExpiredToken", r"access is refused \(HTTP 403\)"),
        (400, "KMS.DisabledException", "HTTP 400, OSError: .*planted"),
        (416, "InvalidRange", "the object ends before these bytes"),
    ],
)
def test_what_cannot_pass_is_asked_once(
    server: FaultyServer, status: int, code: str, reason: str
) -> None:
    server.always(OBJECT, Fault(kind="status", status=status, code=code))
    with pytest.raises(ShardError, match=reason):
        shards.read(item_of(), "s3://corpus", SWIFT)
    assert server.count(OBJECT) == 1


def test_an_object_that_shrank_or_is_gone(server: FaultyServer) -> None:
    # The listing is kept by the file system; it must not be believed now.
    store().pipe("corpus/b.wav", CONTENT)
    list_sources(["s3://corpus"], SWIFT)
    store().pipe("corpus/a.bin", CONTENT[:2500])
    with pytest.raises(ShardError, match="gave 500 of the 1000 bytes; was it changed"):
        shards.read(item_of(), "s3://corpus", SWIFT)
    with pytest.raises(ShardError, match="ends before these bytes"):
        shards.read(item_of(5000), "s3://corpus", SWIFT)
    with pytest.raises(ShardError, match="there is no such object"):
        shards.read(item_of(key="none.bin"), "s3://corpus", SWIFT)
    assert server.count(OBJECT) == 2


def test_without_credentials(server: FaultyServer, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in CREDENTIALS:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/none")
    # No file system was made with these options yet.
    storage = StorageConfig(max_attempts=4, timeout_s=11)
    with pytest.raises(ShardError, match="NoCredentialsError"):
        shards.read(item_of(), "s3://corpus", storage)
    assert server.count(OBJECT) == 0


def test_many_threads_read_at_once_from_the_first_read_on(server: FaultyServer) -> None:
    server.plan(OBJECT, *[fault for name, fault in PASSING.items() if name != "flip"])
    places = list(range(0, 50_000, 2500))
    patient = StorageConfig(max_attempts=20, first_wait_s=0.001, timeout_s=0.4)
    barrier = threading.Barrier(4)

    def read(place: int) -> bytes:
        if place < 10_000:
            barrier.wait(10)
        return shards.read(item_of(place), "s3://corpus", patient)

    with ThreadPoolExecutor(4) as pool:
        contents = list(pool.map(read, places))
    assert contents == [CONTENT[place : place + 1000] for place in places]


def test_a_prefix_with_files_and_tar_shards_is_indexed_through_faults(
    server: FaultyServer, synth_folder: Path, tmp_path: Path
) -> None:
    contents = [file.read_bytes() for file in sorted(synth_folder.rglob("*.mp4"))[:4]]
    fs = store()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for number in (2, 3):
            info = tarfile.TarInfo(f"{number}.mp4")
            info.size = len(contents[number])
            tar.addfile(info, io.BytesIO(contents[number]))
    fs.pipe("corpus/set/shard-0.tar", buffer.getvalue())
    for number in (0, 1):
        fs.pipe(f"corpus/set/jump/{number}.mp4", contents[number])
    fs.pipe("corpus/set/bad.mp4", b"no media")
    server.plan("/corpus", *list(PASSING.values())[:3])
    server.plan("/corpus/set/shard-0.tar", PASSING["cut"], PASSING["slow_down"], PASSING["drop"])
    server.plan("/corpus/set/jump/0.mp4", PASSING["internal_error"], PASSING["short"])
    summary = index_sources(
        ["s3://corpus/set"], tmp_path / "c.parquet", num_workers=1, storage=SWIFT
    )
    catalog = Catalog.open(summary.catalog)
    assert catalog.root == "s3://corpus/set"
    keys = ["jump/0.mp4", "jump/1.mp4", "shard-0.tar/2.mp4", "shard-0.tar/3.mp4"]
    assert catalog.keys() == keys
    assert [(r.key, r.stage) for r in read_rejects(summary.rejects)] == [("bad.mp4", "open")]
    assert [item.crc32 for item in catalog] == [zlib.crc32(content) for content in contents]
    assert shards.read_many(list(catalog), catalog.root, SWIFT) == contents


def test_listing_tells_failing_from_missing(server: FaultyServer) -> None:
    server.always(None, PASSING["slow_down"])
    server.always(None, PASSING["slow_down"], method="HEAD")
    with pytest.raises(ShardError, match="cannot read s3://corpus/set: 4 attempts"):
        list_sources(["s3://corpus/set"], SWIFT)
