"""An HTTP/1.1 server of a folder, or in front of another server, that fails as it is told to."""

import http.client
import re
import threading
from collections import defaultdict, deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Literal
from urllib.parse import unquote, urlsplit

Kind = Literal[
    "status", "cut", "drop", "short", "flip", "stall", "mute", "trickle", "no_range", "other_range"
]

_FORWARDED_NOT = {"connection", "content-length", "date", "server", "transfer-encoding"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What is done to one answer.

    - status: `status` instead of the answer, with `retry_after_s` and an S3 error of `code`.
    - cut: all headers, `num_bytes` of the body, then the connection is closed.
    - drop: the connection is closed without an answer.
    - short: `num_bytes` of the body, and headers that agree with that.
    - flip: one bit of the body's byte `num_bytes` is another.
    - stall: all headers, `num_bytes` of the body, then nothing.
    - mute: nothing at all, ever.
    - trickle: `num_bytes` at a time with pauses of 20 ms.
    - no_range: the whole object with status 200, whatever was asked for.
    - other_range: status 206 with the object's last bytes.
    """

    kind: Kind
    status: int = 500
    code: str = "InternalError"
    retry_after_s: int | None = None
    num_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked of the server."""

    method: str
    path: str
    range: str | None


@dataclass(slots=True)
class _Answer:
    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


class FaultyServer:
    """A running server; `faulty_server` starts and stops it."""

    def __init__(self, folder: Path | None, upstream: str | None) -> None:
        self.folder = folder
        self.upstream = urlsplit(upstream).netloc if upstream else None
        self.requests: list[Request] = []
        self.closing = threading.Event()
        self._plans: defaultdict[tuple[str, str | None], deque[Fault | None]] = defaultdict(deque)
        self._always: dict[tuple[str, str | None], Fault] = {}
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def plan(self, path: str | None, *faults: Fault | None, method: str = "GET") -> None:
        """Add faults for the next requests of a path, in order; None: that one is answered rightly.

        A path of None stands for any that has no plan of its own: faults by request number.
        """
        self._plans[method, path].extend(faults)

    def always(self, path: str | None, fault: Fault | None, method: str = "GET") -> None:
        """The fault of every request of a path that has no other planned; None ends that."""
        if fault is None:
            self._always.pop((method, path), None)
        else:
            self._always[method, path] = fault

    def count(self, path: str, method: str = "GET") -> int:
        """How often a path was asked for."""
        return sum((r.method, r.path) == (method, path) for r in self.requests)

    def forget(self) -> None:
        """Be as new: no faults, no requests counted."""
        with self._lock:
            self.requests.clear()
            self._plans.clear()
            self._always.clear()

    def next_fault(self, request: Request) -> Fault | None:
        with self._lock:
            self.requests.append(request)
            for path in (request.path, None):
                if self._plans[request.method, path]:
                    return self._plans[request.method, path].popleft()
            return self._always.get(
                (request.method, request.path), self._always.get((request.method, None))
            )

    def run(self) -> None:
        self._server.serve_forever(poll_interval=0.02)

    def stop(self) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def faulty_server(
    folder: Path | None = None, upstream: str | None = None
) -> Iterator[FaultyServer]:
    """Serve a folder, or pass everything on to the server at `upstream`."""
    server = FaultyServer(folder, upstream)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        yield server
    finally:
        server.stop()
        thread.join()


def _handler(server: FaultyServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            num_bytes = int(self.headers.get("Content-Length", 0))
            content = self.rfile.read(num_bytes)
            path = unquote(urlsplit(self.path).path)
            asked = self.headers.get("Range")
            fault = server.next_fault(Request(self.command, path, asked))
            if fault and fault.kind == "no_range":
                del self.headers["Range"]
            if fault and fault.kind == "other_range":
                self.headers.replace_header("Range", "bytes=-1")
            answer = _upstream_answer(self, server.upstream, content) if server.upstream else None
            if server.folder is not None:
                answer = _file_answer(server.folder, path, self.headers.get("Range"))
            assert answer is not None
            try:
                self._send(answer, fault)
            except (BrokenPipeError, ConnectionResetError):
                self.close_connection = True

        def do_GET(self) -> None:
            self.answer()

        def do_HEAD(self) -> None:
            self.answer()

        def do_PUT(self) -> None:
            self.answer()

        def do_POST(self) -> None:
            self.answer()

        def do_DELETE(self) -> None:
            self.answer()

        def _send(self, answer: _Answer, fault: Fault | None) -> None:
            kind = fault.kind if fault else None
            num_bytes = fault.num_bytes if fault else 0
            if kind in ("drop", "mute"):
                self.close_connection = True
                if kind == "mute":
                    server.closing.wait()
                return
            if fault and kind == "status":
                answer = _error_answer(fault)
            elif kind == "flip":
                flipped = bytes([answer.body[num_bytes] ^ 16])
                answer.body = answer.body[:num_bytes] + flipped + answer.body[num_bytes + 1 :]
            elif kind == "short":
                _shorten(answer, num_bytes)
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            if "Content-Length" not in answer.headers:
                self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            if self.command != "HEAD":
                self._send_body(answer.body, kind, num_bytes)

        def _send_body(self, body: bytes, kind: Kind | None, num_bytes: int) -> None:
            if kind in ("cut", "stall"):
                self.wfile.write(body[:num_bytes])
                self.close_connection = True
                if kind == "stall":
                    server.closing.wait()
            elif kind == "trickle":
                for start in range(0, len(body), num_bytes):
                    self.wfile.write(body[start : start + num_bytes])
                    server.closing.wait(0.02)
            else:
                self.wfile.write(body)

        def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
            """Tests are quiet."""

    return Handler


def _file_answer(folder: Path, path: str, asked: str | None) -> _Answer:
    file = folder / path.lstrip("/")
    if file.is_dir():
        links = "".join(f'<a href="{child.name}">{child.name}</a>\n' for child in file.iterdir())
        return _Answer(200, {"Content-Type": "text/html"}, links.encode())
    if not file.is_file():
        return _Answer(404)
    whole = file.read_bytes()
    headers = {"Accept-Ranges": "bytes", "Content-Type": "application/octet-stream"}
    found = re.fullmatch(r"bytes=(\d*)-(\d*)", asked or "")
    if not found:
        return _Answer(200, headers, whole)
    if found[1]:
        first, last = int(found[1]), min(int(found[2] or len(whole)), len(whole) - 1)
    else:
        first, last = len(whole) - int(found[2]), len(whole) - 1
    if first > last:
        return _Answer(416, {"Content-Range": f"bytes */{len(whole)}"})
    headers["Content-Range"] = f"bytes {first}-{last}/{len(whole)}"
    return _Answer(206, headers, whole[first : last + 1])


def _upstream_answer(
    handler: BaseHTTPRequestHandler, upstream: str | None, content: bytes
) -> _Answer:
    assert upstream is not None
    connection = http.client.HTTPConnection(upstream, timeout=10)
    try:
        headers = {k: v for k, v in handler.headers.items() if k.lower() != "connection"}
        connection.request(handler.command, handler.path, content, headers)
        response = connection.getresponse()
        body = response.read()
        kept = {k: v for k, v in response.getheaders() if k.lower() not in _FORWARDED_NOT}
        if handler.command == "HEAD":
            kept["Content-Length"] = response.headers.get("Content-Length", "0")
        return _Answer(response.status, kept, body)
    finally:
        connection.close()


def _error_answer(fault: Fault) -> _Answer:
    headers = {"Content-Type": "application/xml"}
    if fault.retry_after_s is not None:
        headers["Retry-After"] = str(fault.retry_after_s)
    body = f"<Error><Code>{fault.code}</Code><Message>planted</Message></Error>"
    return _Answer(fault.status, headers, body.encode())


def _shorten(answer: _Answer, num_bytes: int) -> None:
    answer.body = answer.body[:num_bytes]
    found = re.fullmatch(r"bytes (\d+)-\d+/(.*)", answer.headers.get("Content-Range", ""))
    if found:
        last = int(found[1]) + num_bytes - 1
        answer.headers["Content-Range"] = f"bytes {found[1]}-{last}/{found[2]}"
