"""A byte range as a seekable file that keeps only a few blocks of it in memory."""

import io
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

ReadRange = Callable[[int, int], bytes]
"""Bytes [start, end) of something."""

_BLOCKS_KEPT = 4


class Window(io.RawIOBase):
    """Reads whole blocks through a function that asks again where a read fails.

    Args:
        read_range: bytes [start, end) of the range that this is a view of; its errors pass through.
        length_bytes: of the range.
        block_bytes: read at once; the last four blocks are kept.
    """

    def __init__(self, read_range: ReadRange, length_bytes: int, block_bytes: int) -> None:
        self.read_range = read_range
        self._length = length_bytes
        self._block_bytes = block_bytes
        self._position = 0
        self._blocks: OrderedDict[int, bytes] = OrderedDict()

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
        num_wanted = max(0, min(len(view), self._length - self._position))
        num_read = 0
        # Short reads are allowed here, but not every reader of a file expects them.
        while num_read < num_wanted:
            number, place = divmod(self._position, self._block_bytes)
            piece = memoryview(self._block(number))[place : place + num_wanted - num_read]
            view[num_read : num_read + len(piece)] = piece
            num_read += len(piece)
            self._position += len(piece)
        return num_read

    def close(self) -> None:
        self._blocks.clear()
        super().close()

    def _block(self, number: int) -> bytes:
        if number in self._blocks:
            self._blocks.move_to_end(number)
        else:
            start = number * self._block_bytes
            end = min(start + self._block_bytes, self._length)
            self._blocks[number] = self.read_range(start, end)
            if len(self._blocks) > _BLOCKS_KEPT:
                self._blocks.popitem(last=False)
        return self._blocks[number]
