"""A file on this machine as an item of no catalogue."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from avrep.errors import ConfigError
from avrep.media.limits import DecodeLimits
from avrep.media.probe import probe
from avrep.types import MediaItem


@contextmanager
def local_item(
    file: Path, limits: DecodeLimits | None = None
) -> Iterator[tuple[MediaItem, BinaryIO]]:
    """What a file holds, and the file, open to be decoded.

    Raises:
        ConfigError: no such file.
        MediaError: it is no usable media.
    """
    if not file.is_file():
        raise ConfigError(f"no file at {file}")
    name, length_bytes = file.name, file.stat().st_size
    unknown = MediaItem(
        key=name, shard=name, offset_bytes=0, length_bytes=length_bytes, duration_s=0.0
    )
    with file.open("rb") as data:
        item = probe(data, unknown, limits)
        data.seek(0)
        yield item, data
