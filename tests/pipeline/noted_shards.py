"""Real tar shards of random bytes, behind a file system that notes every range asked of it."""

import io
import tarfile
import threading
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from fsspec.implementations.local import LocalFileSystem

from avrep.media.catalog import Catalog, write_catalog
from avrep.pipeline.plan import Visit
from avrep.types import MediaItem

ITEM_BYTES = 3_000


class NotedFiles(LocalFileSystem):
    """Local files, and every range that was read of them."""

    protocol = "noted"
    ranges: ClassVar[list[tuple[str, int, int]]] = []
    gate: ClassVar[threading.Barrier | threading.Event | None] = None

    def cat_file(
        self, path: str, start: int | None = None, end: int | None = None, **kwargs: Any
    ) -> bytes:
        self.ranges.append((path, start or 0, end or 0))
        if self.gate:
            self.gate.wait(timeout=10)
        data = super().cat_file(path.removeprefix("noted://"), start=start, end=end, **kwargs)
        assert isinstance(data, bytes)
        return data


@dataclass(frozen=True, slots=True)
class Corpus:
    catalog: Catalog
    members: dict[str, bytes]
    """What tarfile says of each key."""


def write_corpus(folder: Path, num_items: int, per_shard: int, crc: bool = False) -> Corpus:
    """Items of unlike length, `per_shard` to a tar."""
    generator = np.random.default_rng(0)
    items: list[MediaItem] = []
    members: dict[str, bytes] = {}
    for first in range(0, num_items, per_shard):
        path = folder / f"{first:05}.tar"
        with tarfile.open(path, "w") as tar:
            for row in range(first, min(first + per_shard, num_items)):
                content = generator.bytes(ITEM_BYTES - row % 7)
                member = tarfile.TarInfo(f"{row:05}.mp4")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
        with tarfile.open(path) as tar:
            for member in tar:
                found = tar.extractfile(member)
                assert found is not None
                content = members[member.name] = found.read()
                items.append(
                    MediaItem(
                        key=member.name,
                        shard=path.name,
                        offset_bytes=member.offset_data,
                        length_bytes=member.size,
                        duration_s=1.0,
                        crc32=zlib.crc32(content) if crc else None,
                    )
                )
    write_catalog(folder / "c.parquet", items, f"noted://{folder}")
    return Corpus(Catalog.open(folder / "c.parquet"), members)


def truth(corpus: Corpus, part: Sequence[Visit]) -> list[bytes]:
    return [corpus.members[f"{visit.address.item:05}.mp4"] for visit in part]
