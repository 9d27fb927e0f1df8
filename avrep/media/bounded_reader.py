"""The bytes of an item as FFmpeg reads them: bounded, and timed where they come from storage."""

import io
from time import perf_counter
from typing import BinaryIO

from avrep.errors import MediaError
from avrep.media.stage_clock import StageClock

_ALLOWANCE_BYTES = 2**30


class BoundedReader(io.RawIOBase):
    """Bytes for FFmpeg, up to a total: a damaged index must not make it go round for ever.

    A file whose sound lies apart from its picture is read some hundred times over (a buffer for
    each packet), so the bound is far above that; it stops a loop, it does not ration reading.

    Args:
        source: the bytes, or a seekable file whose reads count as time spent on storage.
        clock: where that time is added up.
    """

    def __init__(self, source: bytes | BinaryIO, clock: StageClock) -> None:
        is_in_memory = isinstance(source, (bytes, io.BytesIO))
        self._file = io.BytesIO(source) if isinstance(source, bytes) else source
        self._clock = None if is_in_memory else clock
        self._left_bytes = 256 * self._file.seek(0, io.SEEK_END) + _ALLOWANCE_BYTES

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        if self._clock is None:
            chunk = self._file.read(size)
        else:
            began_s = perf_counter()
            chunk = self._file.read(size)
            self._clock.storage_s += perf_counter() - began_s
        self._left_bytes -= max(len(chunk), 1024)
        if self._left_bytes < 0:
            raise MediaError("limits", "read over and over without an end")
        return chunk

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()
