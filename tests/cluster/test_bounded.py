"""Bytes, memory and requests have bounds, however long a run is and however slow its ends are."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import ray
from ray._private.internal_api import get_memory_info_reply, get_state_from_address

from avrep.cluster.stream import ray_stream
from avrep.media.catalog import Catalog, write_catalog
from tests.faults.runs import digest, make_source, plain_digests
from tests.faults.victims import decoders, rss_bytes, wait_until

pytestmark = [
    pytest.mark.faults,
    pytest.mark.ray,
    pytest.mark.slow,
    pytest.mark.usefixtures("ray_cluster"),
]

Record = Callable[[str, object], None]

_NUM_ACTORS = 2
_THREADS = 4
"""With which one actor fetches ahead of its decoder."""


class Store:
    """What Ray says of its object store."""

    def __init__(self) -> None:
        self._state = get_state_from_address(ray.get_runtime_context().gcs_address)

    def read(self) -> tuple[int, int]:
        """Bytes in use, and bytes spilled to disk since the beginning."""
        stats = get_memory_info_reply(self._state).store_stats
        return stats.object_store_bytes_used, stats.spilled_bytes_total


@pytest.fixture(autouse=True)
def _nothing_of_earlier_tests() -> None:
    wait_until(lambda: not decoders(), "earlier decode actors have ended")


def test_the_object_store_holds_the_budget_and_the_batch_in_hand(
    synth_catalog: Catalog, record_property: Record
) -> None:
    """A trainer that is sometimes slow, with clips so large that the budget is what binds."""
    source = make_source(synth_catalog, num_frames=16, short_side_px=160)
    prefetch_bytes = 32 * 2**20
    store = Store()
    wait_until(lambda: store.read()[0] < 2**20, "the store is empty")
    _, spilled_before = store.read()
    most_bytes, batch_bytes = 0, 0
    with ray_stream(
        source, range(40), num_actors=_NUM_ACTORS, prefetch_bytes=prefetch_bytes
    ) as stream:
        for batch in stream:
            batch_bytes = max(
                batch_bytes, sum(v.video.nbytes for v in batch.views if v.video is not None)
            )
            is_slow = batch.step % 5 == 0
            del batch
            if is_slow:
                # Ray frees what was let go once a second.
                time.sleep(2.5)
                most_bytes = max(most_bytes, store.read()[0])
        _, spilled = store.read()
    assert spilled == spilled_before
    # Without a budget, all of the run would lie there.
    assert 40 * batch_bytes > 4 * prefetch_bytes
    assert prefetch_bytes // 4 < most_bytes <= prefetch_bytes + batch_bytes
    record_property("fault", "a slow trainer of large clips")
    record_property("planted", 8)
    record_property(
        "result",
        f"store held at most {most_bytes / 2**20:.1f} MiB: budget {prefetch_bytes / 2**20:.0f}, "
        f"batch {batch_bytes / 2**20:.1f}; 0 spilled",
    )


def test_memory_is_flat_over_20_000_clips(synth_catalog: Catalog, record_property: Record) -> None:
    """The slope of resident memory over clips, of the trainer's process and of each actor.

    What an allocator keeps in its first moments is no leak, so the first quarter is left out. The
    slope's standard error allows for neighbouring samples that say the same.
    """
    source = make_source(synth_catalog, global_batch=16)
    num_steps = 20_000 // 32
    samples: dict[int, list[tuple[int, int]]] = {}
    num_clips = 0
    with ray_stream(source, range(num_steps), num_actors=_NUM_ACTORS) as stream:
        for batch in stream:
            num_clips += len(batch.addresses) * len(batch.views)
            if batch.step % 5 == 0 and num_clips > 5000:
                for pid in (os.getpid(), *decoders()):
                    samples.setdefault(pid, []).append((num_clips, rss_bytes(pid)))
    assert num_clips == 20_000
    assert len(samples) == 3
    slopes = {pid: slope_kb_per_1000(taken) for pid, taken in samples.items()}
    for pid, (slope, margin) in slopes.items():
        # Ray's own account of its calls grows with their number, most of all in the trainer.
        most = 100 if pid == os.getpid() else 50
        assert slope - margin < most, (pid, slopes)
    record_property("fault", "20,000 clips in one go")
    record_property("planted", 1)
    told = ", ".join(f"{slope:+.1f} ± {margin:.1f}" for slope, margin in slopes.values())
    record_property("result", f"kB per 1,000 clips, trainer and actors: {told}")


def slope_kb_per_1000(taken: list[tuple[int, int]]) -> tuple[float, float]:
    """Least squares, and twice the standard error, from the means of ten stretches."""
    stretches = np.array_split(np.array(taken, float), 10)
    clips, rss = np.array([stretch.mean(axis=0) for stretch in stretches]).T
    clips, rss = clips / 1000, rss / 1000
    (slope, _), covariance = np.polyfit(clips, rss, 1, cov=True)
    return float(slope), 2 * float(np.sqrt(covariance[0, 0]))


class CountingServer(ThreadingHTTPServer):
    """Serves a folder, as slowly as it is told, and counts."""

    daemon_threads = True

    def __init__(self, folder: Path, delay_s: float) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.folder = folder
        self.delay_s = delay_s
        self.num_asked = self.num_open = self.most_open = 0
        self.lock = threading.Lock()


class _Answer(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        server = self.server
        assert isinstance(server, CountingServer)
        with server.lock:
            server.num_asked += 1
            server.num_open += 1
            server.most_open = max(server.most_open, server.num_open)
        time.sleep(server.delay_s)
        whole = (server.folder / self.path.lstrip("/")).read_bytes()
        first, last = map(int, self.headers["Range"].removeprefix("bytes=").split("-"))
        with server.lock:
            server.num_open -= 1
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {first}-{last}/{len(whole)}")
        self.send_header("Content-Length", str(last + 1 - first))
        self.end_headers()
        self.wfile.write(whole[first : last + 1])

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Tests are quiet."""


@contextmanager
def served(
    catalog: Catalog, folder: Path, delay_s: float
) -> Iterator[tuple[CountingServer, Catalog]]:
    """The same corpus behind HTTP, each item a file of its own."""
    server = CountingServer(Path(catalog.root), delay_s)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    url = f"http://127.0.0.1:{server.server_port}"
    try:
        items = [replace(item, shard=f"{url}/{item.shard}") for item in catalog]
        write_catalog(folder / "http.parquet", items, url)
        yield server, Catalog.open(folder / "http.parquet")
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_a_slow_trainer_holds_the_actors_back(
    synth_catalog: Catalog, tmp_path: Path, record_property: Record
) -> None:
    """Counted at the store: whoever is not asked for batches asks for no files."""
    with (
        served(synth_catalog, tmp_path, 0.0) as (server, catalog),
        ray_stream(make_source(catalog), range(200), num_actors=_NUM_ACTORS) as stream,
    ):
        next(stream)
        after_one = settled(lambda: server.num_asked)
        for _ in range(10):
            next(stream)
        after_eleven = settled(lambda: server.num_asked)
    # Steps of four: one handed over, and three parts for each actor.
    assert after_one == 4 * (1 + 3 * _NUM_ACTORS - 1)
    assert after_eleven - after_one == 4 * 10
    record_property("fault", "a trainer that stops asking")
    record_property("planted", 2)
    record_property("result", f"{after_one} items read by step 1, {after_eleven} by step 11")


def test_a_slow_store_grows_no_queue(
    synth_catalog: Catalog, tmp_path: Path, record_property: Record
) -> None:
    steps = range(12)
    source = make_source(synth_catalog, global_batch=16)
    with served(synth_catalog, tmp_path, 0.2) as (server, catalog):
        there = replace(source, catalog=catalog)
        with ray_stream(there, steps, num_actors=_NUM_ACTORS) as stream:
            received = [digest(batch) for batch in stream]
    assert received == plain_digests(source, steps)
    assert 1 < server.most_open <= _THREADS * _NUM_ACTORS
    record_property("fault", "a store that takes 0.2 s for each answer")
    record_property("planted", server.num_asked)
    record_property(
        "result", f"at most {server.most_open} requests open at a time, digests unchanged"
    )


def settled(count: Callable[[], int]) -> int:
    """The count when it has not changed for three seconds."""
    last, since_s = count(), time.monotonic()
    while time.monotonic() - since_s < 3.0:
        time.sleep(0.05)
        if count() != last:
            last, since_s = count(), time.monotonic()
    return last
