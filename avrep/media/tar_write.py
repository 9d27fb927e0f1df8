"""Tar shards in WebDataset's layout, with the byte range of every member.

A sample is a run of members that share a name up to the first dot of its last part; the rest of
the name says what the member is (WebDataset's format, as its `base_plus_ext` and the reader of Ray
Data take it). Headers say nothing of owner or time, so the same members make the same bytes.
"""

import re
import tarfile
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import BinaryIO

_BLOCK_BYTES = tarfile.BLOCKSIZE
_MODE = 0o644


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """Where a member's content lies in the tar."""

    name: str
    offset_bytes: int
    length_bytes: int
    crc32: int


class TarWriter:
    """Appends members to a tar; one that cannot be finished leaves no trace.

    Args:
        file: empty, open for writing, seekable.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._names: set[str] = set()

    def sample_name(self, key: str) -> str:
        """A name for the next sample, like its key, and not used in this tar so far."""
        wanted = sample_name(key)
        name, number = wanted, 1
        while name in self._names:
            number += 1
            name = f"{wanted}-{number}"
        self._names.add(name)
        return name

    def add(self, name: str, pieces: Iterable[bytes], length_bytes: int) -> Member:
        """Append a member.

        Args:
            name: sample name, dot, extension.
            pieces: the content, which is not held in memory as a whole.
            length_bytes: how long it is.

        Raises:
            ValueError: the content is not as long as was said. After this and any other error, the
                tar is as it was before.
        """
        start = self._file.tell()
        try:
            return self._add(name, pieces, length_bytes)
        except BaseException:
            self._file.seek(start)
            self._file.truncate()
            raise

    def finish(self) -> None:
        """Write the end mark, filled up to tar's record size."""
        self._file.write(b"\0" * (2 * _BLOCK_BYTES))
        self._file.write(b"\0" * (-self._file.tell() % tarfile.RECORDSIZE))

    def _add(self, name: str, pieces: Iterable[bytes], length_bytes: int) -> Member:
        info = tarfile.TarInfo(name)
        info.size = length_bytes
        info.mode = _MODE
        self._file.write(info.tobuf(tarfile.PAX_FORMAT))
        offset_bytes = self._file.tell()
        crc32 = num_bytes = 0
        for piece in pieces:
            self._file.write(piece)
            crc32 = zlib.crc32(piece, crc32)
            num_bytes += len(piece)
        if num_bytes != length_bytes:
            raise ValueError(f"{name}: {num_bytes} bytes of content where {length_bytes} were said")
        self._file.write(b"\0" * (-num_bytes % _BLOCK_BYTES))
        return Member(name=name, offset_bytes=offset_bytes, length_bytes=num_bytes, crc32=crc32)


def sample_name(key: str) -> str:
    """A key as the name of a sample: folders stay, the ending goes, other dots become underscores.

    Nothing that it gives leads out of a folder that it is unpacked in, or is hidden there, or is
    taken by WebDataset for a note of its own (`__name__`).
    """
    path = PurePosixPath(re.sub(r"[\x00-\x1f\x7f\\]", "_", key))
    folders = [_plain(part) for part in path.parent.parts if part not in ("/", "..")]
    return "/".join([*folders, _plain(path.stem).replace(".", "_")])


def _plain(part: str) -> str:
    return part.lstrip("._") or "item"
