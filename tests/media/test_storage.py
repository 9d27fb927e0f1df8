"""Reads survive what may pass, name what does not, and give exact bytes: a real server with faults."""

import errno
import socket
import ssl
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from aiohttp import ClientConnectorCertificateError, ClientConnectorError
from aiohttp.client_reqrep import ConnectionKey

from avrep.errors import ShardError
from avrep.media import shards
from avrep.media.faults import is_missing, may_pass, without_secrets
from avrep.media.index import Reject, probe_entry
from avrep.media.retries import retried, wait_s
from avrep.media.sources import SourceEntry, list_sources
from avrep.media.storage import StorageConfig
from avrep.types import MediaItem
from tests.servers.faulty_http import Fault, FaultyServer, faulty_server

pytestmark = pytest.mark.faults

Record = Callable[[str, object], None]

CONTENT = np.random.default_rng(0).bytes(300_000)
SWIFT = StorageConfig(max_attempts=4, first_wait_s=0.001, timeout_s=10)
# Where nothing comes: on a busy machine it may be over with an answer that is on its way, too.
HASTY = StorageConfig(max_attempts=4, first_wait_s=0.001, timeout_s=0.4)
STALLS = ("stall", "mute")
KEY = ConnectionKey("host", 443, True, True, None, None, None)

# Faults that may pass; each hits a read of 1,000 bytes.
PASSING = {
    "500": Fault(kind="status", status=500),
    "502": Fault(kind="status", status=502),
    "503": Fault(kind="status", status=503, retry_after_s=0),
    "429": Fault(kind="status", status=429),
    "cut": Fault(kind="cut", num_bytes=300),
    "drop": Fault(kind="drop"),
    "short": Fault(kind="short", num_bytes=998),
    "flip": Fault(kind="flip"),
    "stall": Fault(kind="stall", num_bytes=300),
    "mute": Fault(kind="mute"),
    "other_range": Fault(kind="other_range"),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "a.bin").write_bytes(CONTENT)
    return tmp_path


@pytest.fixture
def server(folder: Path) -> Iterator[FaultyServer]:
    with faulty_server(folder) as server:
        yield server


def item_of(offset: int = 2000, length: int = 1000, shard: str = "a.bin") -> MediaItem:
    crc32 = zlib.crc32(CONTENT[offset : offset + length])
    return MediaItem(
        key="k", shard=shard, offset_bytes=offset, length_bytes=length, duration_s=1, crc32=crc32
    )


@pytest.mark.parametrize("fault", PASSING.values(), ids=PASSING.keys())
def test_a_fault_that_passes_costs_a_request(
    server: FaultyServer, fault: Fault, record_property: Record
) -> None:
    record_property(
        "fault", "an HTTP store answers 500, 503 or 429, cuts, drops, stalls, sends other bytes"
    )
    record_property("planted", 2)
    record_property("result", "the exact bytes, one request more for each fault")
    again = replace(fault, num_bytes=fault.num_bytes + 1)
    server.plan("/a.bin", fault, again)
    if fault.kind in STALLS:
        assert shards.read(item_of(), server.url, HASTY) == CONTENT[2000:3000]
        assert server.count("/a.bin") >= 3
    else:
        assert shards.read(item_of(), server.url, SWIFT) == CONTENT[2000:3000]
        assert server.count("/a.bin") == 3


@pytest.mark.parametrize("fault", PASSING.values(), ids=PASSING.keys())
def test_a_fault_that_stays_is_an_error_that_names_everything(
    server: FaultyServer, fault: Fault, record_property: Record
) -> None:
    record_property("fault", "an HTTP store goes on like that")
    record_property("planted", 1)
    record_property("result", "given up, with one line that names object, bytes and reason")
    server.always("/a.bin", fault)
    with pytest.raises(ShardError) as caught:
        shards.read(item_of(), server.url, HASTY if fault.kind in STALLS else SWIFT)
    text = str(caught.value)
    assert text.startswith(f"cannot read {server.url}/a.bin, bytes 2000 to 3000: ")
    assert "\n" not in text
    # aiohttp itself asks once more where a connection is dropped without an answer; bytes that are
    # wrong twice in the same way are so in the store.
    num_requests = {"drop": 8, "flip": 2}.get(fault.kind, 4)
    assert server.count("/a.bin") == num_requests
    assert ("4 attempts, the last: " in text) is (fault.kind != "flip")
    expected = {
        "status": f"HTTP {fault.status}",
        "cut": "ClientPayloadError",
        "drop": "ServerDisconnected",
        "short": "gave 998 of the 1000 bytes",
        "flip": "index again",
        "stall": "Timeout on reading data",
        "mute": "Timeout on reading data",
        "other_range": f"sent bytes from {len(CONTENT) - 1} instead of 2000",
    }
    assert expected[fault.kind] in text


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (404, "there is no such object; was it moved or deleted"),
        (410, "there is no such object"),
        (401, r"access is refused \(HTTP 401\); check the credentials"),
        (403, r"access is refused \(HTTP 403\); check the credentials"),
        (400, "HTTP 400"),
        (501, "HTTP 501"),
    ],
)
def test_what_cannot_pass_is_asked_once(server: FaultyServer, status: int, reason: str) -> None:
    server.always("/a.bin", Fault(kind="status", status=status))
    with pytest.raises(ShardError, match=reason):
        shards.read(item_of(), server.url, SWIFT)
    assert server.count("/a.bin") == 1


def test_an_object_that_shrank_is_told_from_a_short_answer(
    server: FaultyServer, folder: Path
) -> None:
    (folder / "a.bin").write_bytes(CONTENT[:2500])
    with pytest.raises(ShardError, match="it has 2500 bytes, so it gave 500 of the 1000 bytes"):
        shards.read(item_of(), server.url, SWIFT)
    (folder / "a.bin").write_bytes(CONTENT[:1500])
    with pytest.raises(ShardError, match="it ends before these bytes; was it changed"):
        shards.read(item_of(), server.url, SWIFT)
    (folder / "a.bin").write_bytes(CONTENT[:2500])
    server.plan("/a.bin", Fault(kind="no_range"))
    with pytest.raises(ShardError, match="it has 2500 bytes"):
        shards.read(item_of(), server.url, SWIFT)
    assert server.count("/a.bin") == 3
    with pytest.raises(ShardError, match="gave 500 of the 1000 bytes; was it changed"):
        shards.read(item_of(), str(folder), SWIFT)


def test_a_server_that_ignores_ranges_gives_the_right_bytes(server: FaultyServer) -> None:
    server.always("/a.bin", Fault(kind="no_range"))
    for offset, length in [(0, 10), (2000, 1000), (0, len(CONTENT)), (len(CONTENT) - 3, 3)]:
        item = item_of(offset, length)
        assert shards.read(item, server.url, SWIFT) == CONTENT[offset : offset + length]
    assert server.count("/a.bin") == 4


def test_a_slow_answer_is_waited_for(server: FaultyServer) -> None:
    """Longer in all than the limit between two pieces, so that only a stall counts as one."""
    server.plan("/a.bin", Fault(kind="trickle", num_bytes=5000))
    storage = StorageConfig(max_attempts=1, timeout_s=0.5)
    assert shards.read(item_of(0, 200_000), server.url, storage) == CONTENT[:200_000]
    assert server.count("/a.bin") == 1


def test_an_answer_that_never_ends_is_given_up(server: FaultyServer) -> None:
    """A byte every 20 ms is never a stall, but 1,000 of them would take 20 s."""
    server.always("/a.bin", Fault(kind="trickle", num_bytes=1))
    with pytest.raises(ShardError, match="1 attempt, the last: it took too long"):
        shards.read(item_of(), server.url, StorageConfig(max_attempts=1, timeout_s=0.4))
    server.always("/a.bin", None)
    server.plan("/a.bin", Fault(kind="trickle", num_bytes=1))
    assert shards.read(item_of(), server.url, HASTY) == CONTENT[2000:3000]
    assert server.count("/a.bin") >= 3


def test_the_checksum_decides_for_whole_items_only(server: FaultyServer) -> None:
    server.always("/a.bin", Fault(kind="flip"))
    unknown = replace(item_of(), crc32=None)
    assert shards.read(unknown, server.url, SWIFT) != CONTENT[2000:3000]
    with pytest.raises(ShardError, match="twice the same, with another CRC-32"):
        shards.fetch(item_of(), server.url, SWIFT)
    wrong = replace(item_of(), crc32=1)
    server.always("/a.bin", None)
    with pytest.raises(ShardError, match="changed since, or is damaged in the store; index again"):
        shards.read(wrong, server.url, SWIFT)


def test_bytes_that_are_wrong_otherwise_each_time_are_asked_for_again(
    server: FaultyServer,
) -> None:
    faults = [Fault(kind="flip", num_bytes=n) for n in range(4)]
    server.plan("/a.bin", *faults[:3])
    assert shards.read(item_of(), server.url, SWIFT) == CONTENT[2000:3000]
    server.plan("/a.bin", *faults)
    with pytest.raises(ShardError, match=r"4 attempts, the last: .* garbles them"):
        shards.read(item_of(), server.url, SWIFT)
    assert server.count("/a.bin") == 8


def test_a_window_reads_on_through_faults(
    server: FaultyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shards, "_WINDOW_BLOCK_BYTES", 50_000)
    # Bits that flip are seen where the whole item is read, not in a window.
    server.plan("/a.bin", None, *[fault for name, fault in PASSING.items() if name != "flip"])
    patient = StorageConfig(max_attempts=20, first_wait_s=0.001, timeout_s=0.4)
    with shards.open_window(item_of(1000, 250_000), server.url, patient) as window:
        for place in (0, 249_000, 99_990, 120_000):
            window.seek(place)
            assert window.read(2000) == CONTENT[1000:251_000][place : place + 2000]
    # Blocks 0, 4, 1 and 2 (place 99,990 needs two), and one request more for each fault.
    assert server.count("/a.bin") >= 4 + 10


def test_a_window_says_what_cannot_be_read(
    server: FaultyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shards, "_WINDOW_BLOCK_BYTES", 50_000)
    with shards.open_window(item_of(1000, 250_000), server.url, SWIFT) as window:
        server.always("/a.bin", Fault(kind="cut", num_bytes=7))
        window.seek(100_000)
        with pytest.raises(ShardError, match=r"a\.bin, bytes 101000 to 151000: 4 attempts"):
            window.read(10)
        server.always("/a.bin", None)
        assert window.read(10) == CONTENT[101_000:101_010]
    server.always("/a.bin", Fault(kind="status", status=404))
    with pytest.raises(ShardError, match="no such object"):
        shards.open_window(item_of(), server.url, SWIFT)


def test_a_window_that_breaks_off_is_the_stores_fault_not_the_medias(
    server: FaultyServer, folder: Path, synth_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The demuxer hands the error of its source through."""
    content = next(synth_folder.rglob("*.mp4")).read_bytes()
    (folder / "b.mp4").write_bytes(content)
    monkeypatch.setattr(shards, "WHOLE_READ_BYTES", 100)
    monkeypatch.setattr(shards, "_WINDOW_BLOCK_BYTES", 4096)
    entry = SourceEntry(key="b", shard="b.mp4", offset_bytes=0, length_bytes=len(content))
    found = probe_entry(entry, server.url, SWIFT)
    assert isinstance(found, MediaItem)
    assert found.crc32 is None
    server.plan("/b.mp4", None)
    server.always("/b.mp4", Fault(kind="status", status=503))
    rejected = probe_entry(entry, server.url, SWIFT)
    assert isinstance(rejected, Reject)
    assert rejected.stage == "read"
    assert "4 attempts, the last: HTTP 503" in rejected.reason


def test_many_threads_read_at_once(server: FaultyServer) -> None:
    server.plan(None, *[fault for name, fault in PASSING.items() if name != "flip"])
    places = list(range(0, 200_000, 4000))
    patient = StorageConfig(max_attempts=20, first_wait_s=0.001, timeout_s=0.4)
    with ThreadPoolExecutor(8) as pool:
        read = list(pool.map(lambda p: shards.read(item_of(p, 3000), server.url, patient), places))
    assert read == [CONTENT[place : place + 3000] for place in places]


READ_ON_BOTH_SIDES_OF_A_FORK = """
import os, sys
from avrep.media import shards
for attempt in range(2):
    assert len(shards.read_span(sys.argv[1], 5, 10)) == 10
    child = os.fork()
    if child == 0:
        os._exit(0 if len(shards.read_span(sys.argv[1], 5, 10)) == 10 else 1)
    assert os.waitpid(child, 0)[1] == 0
print(shards.read_span(sys.argv[1], 5, 10).hex())
"""


def test_a_forked_process_reads_as_its_parent_does(server: FaultyServer) -> None:
    command = [sys.executable, "-c", READ_ON_BOTH_SIDES_OF_A_FORK, f"{server.url}/a.bin"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == CONTENT[5:15].hex()
    assert server.count("/a.bin") == 5


def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    with pytest.raises(ShardError, match=r"4 attempts, .*is the store up, and reachable from here"):
        shards.read(item_of(), f"http://127.0.0.1:{port}", SWIFT)


def test_what_cannot_be_a_store() -> None:
    with pytest.raises(ShardError, match=r"cannot read nowhere://x, bytes .*not known"):
        shards.read(item_of(shard="nowhere://x"), "", SWIFT)


def test_listing_survives_and_tells_failing_from_missing(
    server: FaultyServer, folder: Path
) -> None:
    (folder / "b.mp4").write_bytes(CONTENT)
    broken = Fault(kind="status", status=503)
    for method in ("GET", "HEAD"):
        server.plan("/b.mp4", broken, broken, method=method)
    (entry,) = list_sources([f"{server.url}/b.mp4"], SWIFT).entries
    assert entry.length_bytes == len(CONTENT)
    server.always("/b.mp4", broken)
    server.always("/b.mp4", broken, method="HEAD")
    with pytest.raises(ShardError, match="4 attempts, the last: HTTP 503"):
        list_sources([f"{server.url}/b.mp4"], SWIFT)


def test_a_folder_over_http_is_listed_with_sizes(server: FaultyServer, folder: Path) -> None:
    (folder / "a.bin").unlink()
    (folder / "b.mp4").write_bytes(CONTENT)
    (folder / "c.wav").write_bytes(CONTENT[:77])
    listing = list_sources([server.url], SWIFT)
    assert [(e.key, e.length_bytes) for e in listing.entries] == [
        ("b.mp4", len(CONTENT)),
        ("c.wav", 77),
    ]


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (OSError(errno.EIO, "x"), True),
        (OSError(errno.ESTALE, "x"), True),
        (OSError(errno.ETIMEDOUT, "x"), True),
        (ConnectionResetError(), True),
        (TimeoutError(), True),
        (FileNotFoundError("x"), False),
        (PermissionError("x"), False),
        (IsADirectoryError("x"), False),
        (OSError(errno.ENOSPC, "x"), False),
        (ValueError("x"), False),
        (ImportError("x"), False),
        (ClientConnectorCertificateError(KEY, ssl.SSLCertVerificationError("x")), False),
        (ClientConnectorError(KEY, OSError("x")), True),
    ],
)
def test_which_errors_are_tried_again(error: Exception, expected: bool) -> None:
    num_calls = 0

    def fails() -> bytes:
        nonlocal num_calls
        num_calls += 1
        raise error

    assert may_pass(error) is expected
    with pytest.raises(ShardError, match="cannot read it"):
        retried(fails, "it", SWIFT)
    assert num_calls == (4 if expected else 1)


def test_a_missing_file_and_a_wrong_path_are_missing() -> None:
    assert is_missing(FileNotFoundError("x"))
    assert not is_missing(PermissionError("x"))
    # fsspec: any failure of a request for a size is "not found", raised from what it really was.
    failed = FileNotFoundError("x")
    failed.__cause__ = ConnectionResetError()
    assert not is_missing(failed)


def test_avreps_own_errors_and_interrupts_pass_through() -> None:
    def raising(error: BaseException) -> Callable[[], None]:
        def operation() -> None:
            raise error

        return operation

    for error in (ShardError("known"), MemoryError(), KeyboardInterrupt()):
        with pytest.raises(type(error)) as caught:
            retried(raising(error), "it", SWIFT)
        assert caught.value is error


def test_waits_are_spread_over_intervals_that_double() -> None:
    storage = StorageConfig(first_wait_s=0.5)
    for attempt, longest_s in [(1, 0.5), (2, 1.0), (3, 2.0), (4, 4.0), (7, 20.0), (90, 20.0)]:
        waits = np.array([wait_s(f"object {i}", attempt, storage) for i in range(400)])
        assert 0 <= waits.min() < 0.05 * longest_s
        assert 0.95 * longest_s < waits.max() <= longest_s
        assert waits.mean() == pytest.approx(longest_s / 2, rel=0.1)
    assert wait_s("x", 1, storage) == wait_s("x", 1, storage)
    assert wait_s("x", 1, storage, asked_s=7) == 7
    assert wait_s("x", 1, storage, asked_s=3600) == 20


def test_what_the_store_asks_for_is_waited(
    server: FaultyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    monkeypatch.setattr(time, "sleep", waits.append)
    server.plan("/a.bin", Fault(kind="status", status=503, retry_after_s=3))
    shards.read(item_of(), server.url, SWIFT)
    assert waits == [3]


def test_errors_tell_no_secrets() -> None:
    text = "cannot read https://user:pass@host/a.mp4?X-Amz-Signature=abc, bytes 0 to 9"
    assert without_secrets(text) == "cannot read https://host/a.mp4?..., bytes 0 to 9"
    assert without_secrets("s3://bucket/a@b.mp4") == "s3://bucket/a@b.mp4"


@pytest.mark.media
def test_real_clips_from_a_failing_server(media_root: Path) -> None:
    files = sorted((media_root / "odd").glob("*.mp4"))[:6]
    faults = [fault for name, fault in PASSING.items() if name not in ("flip", "mute", "stall")]
    with ExitStack() as stack:
        server = stack.enter_context(faulty_server(media_root / "odd"))
        for file in files:
            server.plan(f"/{file.name}", *faults[:3])
            entry = SourceEntry(
                key=file.name, shard=file.name, offset_bytes=0, length_bytes=file.stat().st_size
            )
            over_http = probe_entry(entry, server.url, SWIFT)
            from_disk = probe_entry(entry, str(file.parent))
            if isinstance(from_disk, Reject):
                assert over_http == from_disk
            else:
                assert isinstance(over_http, MediaItem)
                assert over_http.crc32 == from_disk.crc32 == zlib.crc32(file.read_bytes())
                assert over_http.duration_s == from_disk.duration_s
