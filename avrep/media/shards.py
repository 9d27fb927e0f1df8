"""An item's exact bytes, from wherever they are: a file, a member of a tar shard, http, s3.

Every read goes through fsspec. A small item is fetched whole with one ranged request; a large one
is handed to the decoder as a seekable window, so that a clip of a film does not cost the film.
"""

import io
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from fsspec.core import url_to_fs

from avrep.errors import ShardError
from avrep.types import MediaItem

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

Source = bytes | BinaryIO
"""What a decoder reads: an item's bytes, or a window of them to seek in."""

WHOLE_READ_BYTES = 32 * 2**20
"""Items up to this size are read whole."""


def shard_url(item: MediaItem, root: str) -> str:
    """The URL or path of the file that holds an item's bytes."""
    if "://" in item.shard or item.shard.startswith("/") or not root:
        return item.shard
    return f"{root.rstrip('/')}/{item.shard}"


def read(item: MediaItem, root: str) -> bytes:
    """Exactly the item's bytes.

    Raises:
        ShardError: the store cannot be reached, has no such object, or gave too few bytes.
    """
    url = shard_url(item, root)
    end_bytes = item.offset_bytes + item.length_bytes
    try:
        fs, path = url_to_fs(url)
        if item.length_bytes == 0:
            return b""
        data = fs.cat_file(path, start=item.offset_bytes, end=end_bytes)
    except (OSError, ValueError, ImportError) as error:
        raise ShardError(f"cannot read {url}: {_one_line(error)}") from error
    if len(data) != item.length_bytes:
        raise ShardError(
            f"{url} gave {len(data)} of the {item.length_bytes} bytes from {item.offset_bytes}; "
            "was it changed since it was indexed?"
        )
    return cast(bytes, data)


def fetch(item: MediaItem, root: str) -> Source:
    """The item's bytes, or for a large item a window of them to seek in; close the window."""
    return read(item, root) if item.length_bytes <= WHOLE_READ_BYTES else open_window(item, root)


def open_window(item: MediaItem, root: str) -> BinaryIO:
    """A read-only, seekable view of exactly the item's byte range.

    Raises:
        ShardError: the store cannot be reached or has no such object.
    """
    url = shard_url(item, root)
    try:
        fs, path = url_to_fs(url)
        file = fs.open(path, "rb")
    except (OSError, ValueError, ImportError) as error:
        raise ShardError(f"cannot open {url}: {_one_line(error)}") from error
    return cast(BinaryIO, _Window(file, item.offset_bytes, item.length_bytes))


class _Window(io.RawIOBase):
    def __init__(self, file: Any, offset_bytes: int, length_bytes: int) -> None:
        self._file = file
        self._offset = offset_bytes
        self._length = length_bytes
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._length}[whence]
        self._position = max(0, base + offset)
        return self._position

    def readinto(self, buffer: "WriteableBuffer") -> int:
        view = memoryview(buffer).cast("B")
        wanted = min(len(view), self._length - self._position)
        if wanted <= 0:
            return 0
        self._file.seek(self._offset + self._position)
        data = self._file.read(wanted)
        view[: len(data)] = data
        self._position += len(data)
        return len(data)

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()


def _one_line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())
