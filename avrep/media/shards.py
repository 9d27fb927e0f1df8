"""An item's exact bytes, from wherever they are: a file, a member of a tar shard, http, s3.

A small item is fetched whole with one ranged request, its neighbours in a shard with the same one
where they are asked for together; a large item is handed to the decoder as a seekable window, so
that a clip of a film does not cost the film. Every read is retried where its fault may pass, and
its length checked; an item that is read whole is checked against the catalogue's CRC-32 too.

All functions may be called from several threads, and in forked processes, at once.
"""

import zlib
from collections.abc import Callable, Sequence
from typing import BinaryIO, cast

from fsspec.utils import get_protocol

from avrep.errors import ShardError
from avrep.media.faults import LastingFault, PassingFault
from avrep.media.retries import retried
from avrep.media.spans import Span, spans
from avrep.media.storage import StorageConfig, read_once
from avrep.media.window import Window
from avrep.types import MediaItem

Source = bytes | BinaryIO
"""What a decoder reads: an item's bytes, or a window of them to seek in."""

WHOLE_READ_BYTES = 32 * 2**20
"""Items up to this size are read whole, and neighbours together up to this many bytes."""
MAX_GAP_BYTES = 16 * 1024
"""Bytes that are cheaper read and dropped than left out at the price of another request: a tar's
headers, and a sidecar or two."""

_WINDOW_BLOCK_BYTES = 2 * 2**20
# A disk answers at once; there is no use in reading what may not be wanted.
_LOCAL_WINDOW_BLOCK_BYTES = 2**16


def shard_url(item: MediaItem, root: str) -> str:
    """The URL or path of the file that holds an item's bytes."""
    return _url(item.shard, root)


def read(item: MediaItem, root: str, storage: StorageConfig | None = None) -> bytes:
    """Exactly the item's bytes.

    Args:
        item: where they are, and their CRC-32 where it is known.
        root: what `item.shard` is relative to.
        storage: how patiently the store is asked; the defaults of `StorageConfig` when None.

    Raises:
        ShardError: the store cannot be reached, has no such object, gave too few bytes, or bytes
            that are not those that were indexed.
    """
    return _read_item(item, root, storage, _Check(item))


def read_span(
    url: str, offset_bytes: int, length_bytes: int, storage: StorageConfig | None = None
) -> bytes:
    """Exactly this byte range of an object.

    Raises:
        ShardError: the store cannot be reached, has no such object, or gave too few bytes.
    """
    return _read(url, offset_bytes, length_bytes, storage)


def read_many(
    items: Sequence[MediaItem], root: str, storage: StorageConfig | None = None
) -> list[bytes | ShardError]:
    """Each item's bytes, or why they cannot be had, in the order of the items.

    Neighbours of a shard come with one request. Where that fails for good, or an item of it is not
    as it was indexed, items are read one by one: a bad range costs the items in it.

    Args:
        items: each held in memory whole, whatever its size.
        root: what their shards are relative to.
        storage: how patiently the store is asked; the defaults of `StorageConfig` when None.
    """
    contents: list[bytes | ShardError] = [b""] * len(items)
    for span in spans(items, MAX_GAP_BYTES, WHOLE_READ_BYTES):
        whole = _read_together(span, root, storage)
        for place in span.places:
            item = items[place]
            start = item.offset_bytes - span.offset_bytes
            data = None if whole is None else whole[start : start + item.length_bytes]
            contents[place] = _checked_or_read(item, data, root, storage)
    return contents


def fetch(item: MediaItem, root: str, storage: StorageConfig | None = None) -> Source:
    """The item's bytes, or for a large item a window of them to seek in; close the window."""
    if item.length_bytes <= WHOLE_READ_BYTES:
        return read(item, root, storage)
    return open_window(item, root, storage)


def open_window(item: MediaItem, root: str, storage: StorageConfig | None = None) -> BinaryIO:
    """A read-only, seekable view of exactly the item's byte range, for one thread.

    Its reads raise `ShardError` too. They are checked for length, but not against a CRC-32, which
    would take the whole item. At most four blocks of 2 MiB are in memory.

    Raises:
        ShardError: the store cannot be reached or has no such object.
    """
    url = shard_url(item, root)
    is_local = get_protocol(url) in ("file", "local")
    block_bytes = _LOCAL_WINDOW_BLOCK_BYTES if is_local else _WINDOW_BLOCK_BYTES
    window = Window(
        lambda start, end: _read(url, item.offset_bytes + start, end - start, storage),
        item.length_bytes,
        block_bytes,
    )
    # Whoever opens it begins at its first byte, and should hear now if there is none.
    window.read(1)
    window.seek(0)
    return cast(BinaryIO, window)


def _url(shard: str, root: str) -> str:
    if "://" in shard or shard.startswith("/") or not root:
        return shard
    return f"{root.rstrip('/')}/{shard}"


def _read(
    url: str,
    offset_bytes: int,
    length_bytes: int,
    storage: StorageConfig | None,
    check: Callable[[bytes], None] = lambda _: None,
) -> bytes:
    end = offset_bytes + length_bytes
    patience = storage or StorageConfig()

    def attempt() -> bytes:
        data = read_once(url, offset_bytes, end, patience)
        check(data)
        return data

    return retried(attempt, f"{url}, bytes {offset_bytes} to {end}", patience)


def _read_together(span: Span, root: str, storage: StorageConfig | None) -> bytes | None:
    if len(span.places) == 1:
        return None
    try:
        url = _url(span.shard, root)
        return read_span(url, span.offset_bytes, span.length_bytes, storage)
    except ShardError:
        return None


def _checked_or_read(
    item: MediaItem, data: bytes | None, root: str, storage: StorageConfig | None
) -> bytes | ShardError:
    check = _Check(item)
    try:
        if data is not None:
            check(data)
            return data
    except PassingFault:
        pass
    try:
        return _read_item(item, root, storage, check)
    except ShardError as error:
        return error


def _read_item(item: MediaItem, root: str, storage: StorageConfig | None, check: "_Check") -> bytes:
    return _read(shard_url(item, root), item.offset_bytes, item.length_bytes, storage, check)


class _Check:
    """Whether bytes are those that were indexed; the same wrong ones twice are not the way's fault."""

    def __init__(self, item: MediaItem) -> None:
        self._wanted = item.crc32
        self._seen: int | None = None

    def __call__(self, data: bytes) -> None:
        """Say nothing of right bytes, `PassingFault` of wrong ones, then `LastingFault`."""
        if self._wanted is None:
            return
        found, seen = zlib.crc32(data), self._seen
        if found == self._wanted:
            return
        self._seen = found
        if found == seen:
            raise LastingFault(
                "the bytes are not those that were indexed (twice the same, with another CRC-32): "
                "the object changed since, or is damaged in the store; index again"
            )
        raise PassingFault(
            "the bytes are not those that were indexed (another CRC-32): the way to the store "
            "garbles them, or the object is being written or damaged; index again"
        )
