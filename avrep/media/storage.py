"""Stores as fsspec opens them, with time limits of ours, and one ranged read of any of them.

fsspec keeps one file system object for each process and set of options, and runs all of a process's
requests on one event loop in a thread of its own; after a fork the child gets both anew. So nothing
here keeps a file system: it is looked up for every read (10 us), which makes reads safe from several
threads at once and on either side of a fork.
"""

from typing import Any, cast

from fsspec import AbstractFileSystem
from fsspec.config import conf
from fsspec.core import url_to_fs
from fsspec.utils import get_protocol
from pydantic import Field

from avrep.frozen import FrozenConfig
from avrep.media.faults import LastingFault, PassingFault
from avrep.media.http_range import read_http_range

_HTTP = ("http", "https")
_S3 = ("s3", "s3a")
# What fsspec runs on its event loop, where any request can be given a limit from outside.
_ON_THE_LOOP = (*_S3, "gs", "gcs", "abfs", "abfss", "az")
# A store slower than this is as good as stalled.
_SLOWEST_BYTES_PER_S = 64 * 1024
_MAX_CONNECTIONS = 32


class StorageConfig(FrozenConfig):
    """How patiently a store is asked; the defaults are avrep's own."""

    max_attempts: int = Field(default=5, ge=1, le=100)
    """How often a read is tried before it is given up, the first time included."""
    first_wait_s: float = Field(default=0.25, ge=0, le=60)
    """Longest wait before the second attempt; it doubles with each further one, up to 20 s."""
    timeout_s: float = Field(default=30.0, gt=0, le=3600)
    """How long a store may take to connect, and then between one piece of its answer and the next."""


def open_storage(url: str, storage: StorageConfig) -> tuple[AbstractFileSystem, str]:
    """The file system that holds a URL, and the URL's path in it. Do not keep it; ask again.

    HTTP and S3 are given the time limits; what a person set in fsspec's own configuration goes
    before ours.
    """
    protocols = dict.fromkeys(get_protocol(part) for part in url.split("::"))
    # Keyed by protocol, the options find their place in a chain such as simplecache::s3://...
    options = {name: _options(name, storage) for name in protocols}
    fs, path = url_to_fs(url, **{name: found for name, found in options.items() if found})
    if get_protocol(url) in _S3:
        # s3fs asks again by itself; the attempts, and the waits between them, are ours.
        fs.retries = 1
    return fs, path


def read_once(url: str, start: int, end: int, storage: StorageConfig) -> bytes:
    """Bytes [start, end) of an object, in one attempt.

    HTTP, S3, Google's and Azure's stores may take three times `timeout_s` (to connect, to answer,
    and once between) and what the slowest bearable store needs for the bytes; others, a network
    file system for one, take the time that they take.

    Raises:
        LastingFault: the object ends before `end`.
        PassingFault: the store gave other bytes than those asked for, or too few of them.
        Exception: whatever else fsspec makes of a fault; see `faults.may_pass`.
    """
    fs, path = open_storage(url, storage)
    length_bytes = end - start
    if length_bytes == 0:
        return b""
    most_s = 3 * storage.timeout_s + length_bytes / _SLOWEST_BYTES_PER_S
    if get_protocol(url) in _HTTP:
        data = read_http_range(fs, path, start, end, most_s)
    elif get_protocol(url) in _ON_THE_LOOP:
        data = cast(bytes, fs.cat_file(path, start=start, end=end, timeout=most_s))
    else:
        data = cast(bytes, fs.cat_file(path, start=start, end=end))
    if len(data) == length_bytes:
        return data
    reason = f"gave {len(data)} of the {length_bytes} bytes"
    if get_protocol(url) not in _HTTP and _size_bytes(fs, path) < end:
        raise LastingFault(f"it {reason}; was it changed since it was indexed?")
    raise PassingFault(f"it {reason}")


def _size_bytes(fs: AbstractFileSystem, path: str) -> float:
    """How long the object is now; infinite where the store does not tell."""
    fs.invalidate_cache(path)
    size = fs.info(path).get("size")
    return float("inf") if size is None else size


def _options(protocol: str, storage: StorageConfig) -> dict[str, Any]:
    theirs = conf.get(protocol, {})
    if protocol in _HTTP:
        from aiohttp import ClientTimeout

        limit_s = storage.timeout_s
        timeout = ClientTimeout(total=None, sock_connect=limit_s, sock_read=limit_s)
        return {"client_kwargs": {"timeout": timeout, **theirs.get("client_kwargs", {})}}
    if protocol in _S3:
        limits = {
            "connect_timeout": storage.timeout_s,
            "read_timeout": storage.timeout_s,
            "retries": {"total_max_attempts": 1, "mode": "standard"},
            "max_pool_connections": _MAX_CONNECTIONS,
        }
        return {"config_kwargs": {**limits, **theirs.get("config_kwargs", {})}}
    return {}
