"""The catalogue: one Parquet row for each item, read a row group at a time.

Parquet pages are compressed, so the file is memory-mapped and a row group (4,096 items) is decoded
when an item of it is asked for; a few groups are kept. A catalogue of ten million items therefore
opens in the time that its footer takes, and only asked-for items become Python objects. Which items
have picture or sound, the footer's statistics mostly tell.
"""

import hashlib
import json
import os
import threading
from collections import OrderedDict, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from avrep.errors import ConfigError
from avrep.types import AudioStream, MediaItem, VideoStream

FORMAT_VERSION = 1
_ROWS_PER_GROUP = 4096
_GROUPS_KEPT = 16
_METADATA_KEY = b"avrep"
_LEAVES = {"video": "video.width_px", "audio": "audio.channels"}

SCHEMA = pa.schema(
    [
        pa.field("key", pa.string(), nullable=False),
        pa.field("shard", pa.string(), nullable=False),
        pa.field("offset_bytes", pa.int64(), nullable=False),
        pa.field("length_bytes", pa.int64(), nullable=False),
        pa.field("duration_s", pa.float64(), nullable=False),
        pa.field(
            "video",
            pa.struct(
                [
                    ("width_px", pa.int32()),
                    ("height_px", pa.int32()),
                    ("fps", pa.float64()),
                    ("num_frames", pa.int64()),
                    ("codec", pa.string()),
                    ("rotation_deg", pa.int32()),
                    ("start_s", pa.float64()),
                    ("keyframes_s", pa.list_(pa.float64())),
                ]
            ),
        ),
        pa.field(
            "audio",
            pa.struct(
                [
                    ("rate_hz", pa.int32()),
                    ("channels", pa.int32()),
                    ("codec", pa.string()),
                    ("start_s", pa.float64()),
                    # As with crc32: null where a catalogue was written without it.
                    ("end_s", pa.float64()),
                ]
            ),
        ),
        pa.field("labels", pa.map_(pa.string(), pa.string())),
        # Version 1 as well: catalogues without this column are read, as if it were null.
        pa.field("crc32", pa.uint32()),
    ]
)


class Catalog:
    """A catalogue on disk, indexable by row: `catalog[row] -> MediaItem`. Threads may share it."""

    def __init__(self, path: Path, file: pq.ParquetFile, root: str, digest: str) -> None:
        """Use `Catalog.open`."""
        self.path = path
        self.root = root
        """URI or folder that `MediaItem.shard` is relative to."""
        self.digest = digest
        """Hex SHA-256 over every row's key, shard and byte range: what a run's data state rests on."""
        self._file = file
        metadata = file.metadata
        groups = [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)]
        self._first_row = np.concatenate([[0], np.cumsum(groups, dtype=np.int64)])
        self._kept: OrderedDict[int, pa.Table] = OrderedDict()
        self._lock = threading.Lock()

    @classmethod
    def open(cls, path: Path | str, root: str | None = None) -> "Catalog":
        """Open a catalogue.

        Args:
            path: the Parquet file that `avrep index` wrote.
            root: where the shards are now, if they moved since: a folder or a URL.

        Raises:
            ConfigError: there is no catalogue of this version at `path`.
        """
        path = Path(path)
        if not path.is_file():
            if path.is_dir():
                raise ConfigError(
                    f"{path} is a folder, not a catalogue; make one: avrep index {path} -o FILE"
                )
            raise ConfigError(f"no catalogue at {path}; make one: avrep index FOLDER -o {path}")
        try:
            file = pq.ParquetFile(path, memory_map=True)
        except (pa.ArrowInvalid, OSError) as error:
            raise ConfigError(f"{path} is not a Parquet file ({error}); see avrep index") from error
        metadata = (file.schema_arrow.metadata or {}) | (file.metadata.metadata or {})
        facts = json.loads(metadata.get(_METADATA_KEY, b"{}"))
        if facts.get("version") != FORMAT_VERSION:
            raise ConfigError(
                f"{path} is not a catalogue of version {FORMAT_VERSION} "
                f"(found {facts.get('version')}); index the source again"
            )
        root = _found_root(facts["root"], path) if root is None else _anywhere(root)
        return cls(path, file, root, facts["digest"])

    def __reduce__(self) -> tuple[Any, ...]:
        """Travels to another process as its path, and is the same catalogue there or none."""
        return _same, (self.path.absolute(), self.root, self.digest)

    def __len__(self) -> int:
        return int(self._first_row[-1])

    def __getitem__(self, row: int) -> MediaItem:
        return self.items([row])[0]

    def items(self, rows: Sequence[int] | npt.NDArray[np.int64]) -> list[MediaItem]:
        """The items of these rows, in their order; rows of one row group decode it once.

        Raises:
            IndexError: the catalogue has no such row.
        """
        places_in: defaultdict[int, list[int]] = defaultdict(list)
        for place, row in enumerate(rows):
            if not 0 <= row < len(self):
                raise IndexError(f"row {row} of a catalogue of {len(self)} items")
            group = int(np.searchsorted(self._first_row, row, side="right")) - 1
            places_in[group].append(place)
        found: dict[int, MediaItem] = {}
        for group, places in places_in.items():
            first = int(self._first_row[group])
            table = self._group(group)
            for place in places:
                # Arrow's `take` and `array` import pandas, which takes a second of a process's start.
                found[place] = _item(table.slice(int(rows[place]) - first, 1).to_pylist()[0])
        return [found[place] for place in range(len(rows))]

    def __iter__(self) -> Iterator[MediaItem]:
        for group in range(self._file.num_row_groups):
            for fields in self._group(group).to_pylist():
                yield _item(fields)

    def table(self, columns: Sequence[str] | None = None) -> pa.Table:
        """The named columns of all rows."""
        with self._lock:
            return self._file.read(columns=list(columns) if columns is not None else None)

    def keys(self) -> list[str]:
        return self.table(["key"])["key"].to_pylist()

    def rows_with(self, *, video: bool = False, audio: bool = False) -> npt.NDArray[np.int64]:
        """Rows, ascending, of the items that have the streams asked for."""
        mask = np.ones(len(self), bool)
        for name, wanted in (("video", video), ("audio", audio)):
            if wanted:
                self._clear_rows_without(name, mask)
        return np.flatnonzero(mask)

    def _clear_rows_without(self, name: str, mask: npt.NDArray[np.bool_]) -> None:
        # One leaf of the struct tells whether the whole is there: a number, the quickest to read.
        leaf = _LEAVES[name]
        metadata = self._file.metadata
        column = [metadata.schema.column(i).path for i in range(metadata.num_columns)].index(leaf)
        for group in range(metadata.num_row_groups):
            rows = mask[self._first_row[group] : self._first_row[group + 1]]
            facts = metadata.row_group(group).column(column).statistics
            num_null = facts.null_count if facts is not None and facts.has_null_count else None
            if num_null == len(rows):
                rows[:] = False
            elif num_null != 0:
                with self._lock:
                    table = self._file.read_row_group(group, columns=[leaf], use_threads=False)
                rows &= _is_valid(table[name])

    def _group(self, group: int) -> pa.Table:
        with self._lock:
            if group in self._kept:
                self._kept.move_to_end(group)
            else:
                self._kept[group] = self._file.read_row_group(group, use_threads=False)
                if len(self._kept) > _GROUPS_KEPT:
                    self._kept.popitem(last=False)
            return self._kept[group]


def _is_valid(column: pa.ChunkedArray) -> npt.NDArray[np.bool_]:
    """Which values are not null, without Arrow's way to numpy, which imports pandas."""
    parts = [np.zeros(0, bool)]
    for chunk in column.chunks:
        bitmap = chunk.buffers()[0]
        if bitmap is None:
            parts.append(np.ones(len(chunk), bool))
        else:
            bits = np.unpackbits(np.frombuffer(bitmap, np.uint8), bitorder="little")
            parts.append(bits[chunk.offset : chunk.offset + len(chunk)].astype(bool))
    return np.concatenate(parts)


def write_catalog(path: Path | str, items: Iterable[MediaItem], root: str) -> int:
    """Write a catalogue, atomically: a reader sees the old file or the whole new one.

    Args:
        path: where to; replaced if there.
        items: with shards relative to `root`.
        root: URI or folder.

    Returns:
        Number of items written.

    Raises:
        ConfigError: two items have the same key.
        OSError: it cannot be written, on a full disk for one; what was at `path` is still there.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    try:
        num_items = _write(partial, items, root)
        partial.replace(path)
    except OSError as error:
        earlier = "; the earlier catalogue is untouched" if path.is_file() else ""
        raise OSError(
            f"cannot write the catalogue {path}: {error.strerror or error}{earlier}; make room, "
            "or write it elsewhere (-o)"
        ) from error
    finally:
        partial.unlink(missing_ok=True)
    return num_items


def _write(path: Path, items: Iterable[MediaItem], root: str) -> int:
    digest = hashlib.sha256()
    seen: set[str] = set()
    with path.open("wb") as file:
        with pq.ParquetWriter(file, SCHEMA, compression="zstd") as writer:
            for rows in _chunks(items, _ROWS_PER_GROUP):
                for item in rows:
                    if item.key in seen:
                        raise ConfigError(
                            f"two items have the key {item.key!r}; keys must be unique"
                        )
                    seen.add(item.key)
                    digest.update(
                        f"{item.key}\0{item.shard}\0"
                        f"{item.offset_bytes}\0{item.length_bytes}\n".encode()
                    )
                table = pa.Table.from_pylist([_fields(item) for item in rows], schema=SCHEMA)
                writer.write_table(table, row_group_size=_ROWS_PER_GROUP)
            facts = {"version": FORMAT_VERSION, "root": root, "digest": digest.hexdigest()}
            writer.add_key_value_metadata({_METADATA_KEY: json.dumps(facts).encode()})
        file.flush()
        os.fsync(file.fileno())
    return len(seen)


def _same(path: Path, root: str, digest: str) -> Catalog:
    """Open it again.

    Raises:
        ConfigError: another catalogue has taken its place.
    """
    catalog = Catalog.open(path, root)
    if catalog.digest != digest:
        raise ConfigError(
            f"{path} was indexed again while it was read, or is another file on this node: its items "
            "are others now; index to another place, and give all nodes the same file"
        )
    return catalog


def _found_root(root: str, path: Path) -> str:
    """Where a root is that was given relative to the catalogue's own folder, as packs give theirs."""
    is_relative = root and "://" not in root and not Path(root).is_absolute()
    return str(path.parent.absolute() / root) if is_relative else root


def _anywhere(root: str) -> str:
    """The same root for a process that stands in another folder."""
    return root if "://" in root else str(Path(root).absolute())


def _chunks(items: Iterable[MediaItem], size: int) -> Iterator[list[MediaItem]]:
    chunk: list[MediaItem] = []
    for item in items:
        chunk.append(item)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _fields(item: MediaItem) -> dict[str, Any]:
    video, audio = item.video, item.audio
    return {
        "key": item.key,
        "shard": item.shard,
        "offset_bytes": item.offset_bytes,
        "length_bytes": item.length_bytes,
        "duration_s": item.duration_s,
        "video": video and {name: getattr(video, name) for name in VideoStream.__slots__},
        "audio": audio and {name: getattr(audio, name) for name in AudioStream.__slots__},
        "labels": list(item.labels.items()),
        "crc32": item.crc32,
    }


def _item(fields: dict[str, Any]) -> MediaItem:
    video, audio = fields["video"], fields["audio"]
    if video is not None:
        keyframes_s = np.asarray(video.pop("keyframes_s"), np.float64)
        video = VideoStream(**video, keyframes_s=keyframes_s)
    return MediaItem(
        key=fields["key"],
        shard=fields["shard"],
        offset_bytes=fields["offset_bytes"],
        length_bytes=fields["length_bytes"],
        duration_s=fields["duration_s"],
        video=video,
        audio=AudioStream(**audio) if audio is not None else None,
        labels=dict(fields["labels"] or []),
        crc32=fields.get("crc32"),
    )
