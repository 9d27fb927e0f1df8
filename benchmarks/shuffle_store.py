"""A store that is far away: an HTTP server that waits, then answers no faster than a connection is.

It runs in a process of its own, on loopback; what it serves are zeros of any length. Fetching from
it with the real `Fetcher` shows items per second where nothing is decoded.
"""

import multiprocessing
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.connection import Connection
from typing import cast

from avrep.media.catalog import Catalog
from avrep.pipeline.fetch import Fetcher, close
from avrep.pipeline.plan import Visit
from avrep.pipeline.shuffle import ShuffleConfig
from avrep.types import Address
from benchmarks.shuffle_reading import Layout, VirtualCatalog, make_plan, parts, take_all

LATENCY_S = 0.03
BYTES_PER_S = 100e6

_PIECE = bytes(2**18)
_OBJECT_BYTES = 2**43


@contextmanager
def slow_store() -> Iterator[str]:
    """Serves under the URL that it gives until it is left."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    server = context.Process(target=_serve, args=(theirs,), daemon=True)
    server.start()
    try:
        yield f"http://127.0.0.1:{ours.recv()}"
    finally:
        server.terminate()
        server.join()


def measure_rate(
    root: str, shuffle: ShuffleConfig, item_bytes: int, global_batch: int, layout: Layout
) -> float:
    """Items per second of the one watched actor over its first window.

    Args:
        root: URL of the store.
        shuffle: the order of the epoch.
        item_bytes: length of every item.
        global_batch: of the run.
        layout: with one watched actor.
    """
    plan = make_plan(shuffle, global_batch)
    catalog = cast(Catalog, VirtualCatalog(root, item_bytes))
    (watched,) = layout.watched
    fetcher = Fetcher(catalog, plan, layout.read_ahead_bytes)
    # Connecting, and importing what that takes, is no part of it.
    close(fetcher.take(Visit(Address(0, 0))))
    steps_per_window = -(-shuffle.block_items * shuffle.window_blocks // global_batch)
    began_s = time.perf_counter()
    num_taken = 0
    for step in range(steps_per_window):
        for actor, part in parts(plan, step, layout):
            if actor == watched:
                num_taken += take_all(fetcher, part)
    rate = num_taken / (time.perf_counter() - began_s)
    fetcher.close()
    return rate


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        time.sleep(LATENCY_S)
        first, last = (int(n) for n in self.headers["Range"].removeprefix("bytes=").split("-"))
        left = last - first + 1
        self.send_response(206)
        self.send_header("Content-Length", str(left))
        self.send_header("Content-Range", f"bytes {first}-{last}/{_OBJECT_BYTES}")
        self.end_headers()
        due_s = time.perf_counter()
        while left > 0:
            piece = _PIECE[:left]
            self.wfile.write(piece)
            left -= len(piece)
            due_s += len(piece) / BYTES_PER_S
            time.sleep(max(0.0, due_s - time.perf_counter()))

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Nothing: a line for each request would be the slowest part of it."""


def _serve(port: Connection) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    port.send(server.server_address[1])
    server.serve_forever()
