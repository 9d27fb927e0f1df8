"""Labels of every stretch of a corpus's sound, on disk beside its catalogue.

LABELS/
    labels.json              what the labels are of; with a summary in it once all shards are there
    shard-000000.arrow       of 512 rows of the catalogue each: one Arrow file, memory-mapped
    centroids.npy            what they are numbers of, where they are clusters

A row has a list of uint16 and the time of its first; null where it has no sound, or its sound could
not be decoded. Label j of a row belongs to the sound that begins j / rate_hz after the first. Any
row is found by one division and two offsets.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from avrep.errors import ConfigError
from avrep.media.catalog import Catalog
from avrep.media.claimed_folder import read_claim
from avrep.media.put_in_place import put_in_place

FORMAT_VERSION = 1
ROWS_PER_SHARD = 512
FACTS = "labels.json"
_CLOSE_LABELS = 1e-6

Labels = Annotated[npt.NDArray[np.uint16], "k"]

_SCHEMA = pa.schema(
    [
        pa.field("first_s", pa.float64()),
        # 64-bit offsets: a shard of long recordings passes 2**31 labels.
        pa.field("labels", pa.large_list(pa.field("item", pa.uint16(), nullable=False))),
    ]
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelFacts:
    """What a folder of labels holds, and of which catalogue."""

    catalog_digest: str
    """`Catalog.digest`: over every row's key, shard and byte range."""
    num_rows: int
    """Of the catalogue."""
    num_clusters: int
    """Labels are below this."""
    rate_hz: int
    """Labels a second."""
    seed: int
    features: Mapping[str, Any] = field(default_factory=dict)
    """What was clustered."""
    version: int = FORMAT_VERSION


@dataclass(frozen=True, slots=True)
class RowLabels:
    """The labels of one row's sound; those of a store are read from its mapped file."""

    first_s: float
    """When the first label's stretch begins, in seconds of the item."""
    labels: Labels


class LabelStore:
    """Labels on disk, by row of the catalogue: `store[row]`. Files are mapped as they are needed."""

    def __init__(self, path: Path, facts: LabelFacts) -> None:
        """Use `LabelStore.open`."""
        self.path = path
        self.facts = facts
        self._shards: dict[int, _Shard] = {}

    @classmethod
    def open(cls, path: Path | str) -> "LabelStore":
        """Open a finished folder of labels.

        Raises:
            ConfigError: there is none of this version at `path`, or it is not finished.
        """
        path = Path(path)
        claim = read_claim(path, FACTS)
        if claim is None:
            raise ConfigError(f"no labels at {path}; make them: avrep label CORPUS -o {path}")
        if claim.get("version") != FORMAT_VERSION:
            raise ConfigError(
                f"{path} holds labels of version {claim.get('version')}, not {FORMAT_VERSION}; "
                "make them again: avrep label"
            )
        if "summary" not in claim:
            raise ConfigError(f"{path} is not finished; start the same avrep label again")
        names = LabelFacts.__slots__
        return cls(path, LabelFacts(**{name: claim[name] for name in names}))

    def __len__(self) -> int:
        return self.facts.num_rows

    def __getitem__(self, row: int) -> RowLabels | None:
        """The labels of a row of the catalogue; None where its sound has none.

        Raises:
            IndexError: the catalogue has no such row.
            ConfigError: a shard is missing.
        """
        if not 0 <= row < len(self):
            raise IndexError(f"row {row} of the labels of {len(self)} rows")
        shard, place = divmod(row, ROWS_PER_SHARD)
        if shard not in self._shards:
            self._shards[shard] = _Shard.open(shard_path(self.path, shard))
        return self._shards[shard].row(place)

    def check(self, catalog: Catalog) -> None:
        """Refuse a catalogue that these labels are not of.

        Raises:
            ConfigError: saying so.
        """
        if self.facts.catalog_digest != catalog.digest:
            raise ConfigError(
                f"the labels in {self.path} are of another catalogue than {catalog.path}; "
                f"make its own: avrep label {catalog.path} -o FOLDER"
            )

    def crop(self, row: int, start_s: float, num_labels: int) -> npt.NDArray[np.int64]:
        """int64[num_labels] of a crop, from `start_s` on; -1 wherever there is no label.

        Where the crop begins between two labels, its first is that of the nearest stretch, of two
        that are as near the later: label floor((start_s - first_s) * rate_hz + 1/2). So a label is
        off by half a stretch at most.

        Args:
            row: of the catalogue.
            start_s: time of the crop's first sample, in seconds of the item.
            num_labels: how many.
        """
        found = np.full(num_labels, -1, np.int64)
        own = self[row]
        if own is None:
            return found
        # Times are whole samples as doubles: one must not fall just short of the half.
        first = int(np.floor((start_s - own.first_s) * self.facts.rate_hz + 0.5 + _CLOSE_LABELS))
        begin, end = max(first, 0), min(first + num_labels, len(own.labels))
        if begin < end:
            found[begin - first : end - first] = own.labels[begin:end]
        return found


@dataclass(frozen=True, slots=True)
class _Shard:
    first_s: npt.NDArray[np.float64]
    is_there: npt.NDArray[np.bool_]
    offsets: npt.NDArray[np.int64]
    labels: Labels

    @classmethod
    def open(cls, path: Path) -> "_Shard":
        if not path.is_file():
            raise ConfigError(f"{path} is missing; make the labels again: avrep label")
        with pa.memory_map(str(path)) as file, pa.ipc.open_file(file) as reader:
            batch = reader.get_batch(0)
        first_s, lists = batch.column(0), batch.column(1)
        return cls(
            first_s=_values(first_s, np.dtype(np.float64), len(first_s)),
            is_there=~_nulls(lists),
            offsets=_values(lists.offsets, np.dtype(np.int64), len(lists) + 1),
            labels=_values(lists.values, np.dtype(np.uint16), len(lists.values)),
        )

    def row(self, place: int) -> RowLabels | None:
        if not self.is_there[place]:
            return None
        labels = self.labels[self.offsets[place] : self.offsets[place + 1]]
        return RowLabels(float(self.first_s[place]), labels)


def write_shard(
    path: Path, rows: Sequence[RowLabels | None], notes: Mapping[str, str] | None = None
) -> None:
    """Write a shard whole or not at all.

    Args:
        path: see `shard_path`.
        rows: in the catalogue's order; None for one without labels.
        notes: kept in the file, see `read_notes`.
    """
    first_s = pa.array([None if row is None else row.first_s for row in rows], pa.float64())
    lengths = [0 if row is None else len(row.labels) for row in rows]
    values = np.concatenate([np.zeros(0, np.uint16), *(row.labels for row in rows if row)])
    lists = pa.LargeListArray.from_arrays(
        pa.array(np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]), pa.int64()),
        pa.array(values, pa.uint16()),
        type=_SCHEMA.field("labels").type,
        mask=pa.array([row is None for row in rows], pa.bool_()),
    )
    schema = _SCHEMA.with_metadata(dict(notes or {}))
    partial = path.with_name(path.name + ".partial")
    with pa.OSFile(str(partial), "wb") as file, pa.ipc.new_file(file, schema) as writer:
        writer.write_batch(pa.record_batch([first_s, lists], schema=schema))
    put_in_place(partial, path)


def read_notes(path: Path) -> dict[str, str]:
    """What a shard's writer left in it beside the labels."""
    with pa.memory_map(str(path)) as file, pa.ipc.open_file(file) as reader:
        metadata = reader.schema.metadata or {}
    return {name.decode(): text.decode() for name, text in metadata.items()}


def read_all(path: Path) -> Labels:
    """The labels of all rows of a shard, one row after another."""
    return _Shard.open(path).labels


def shard_path(folder: Path, shard: int) -> Path:
    return folder / f"shard-{shard:06d}.arrow"


def _values(array: pa.Array, dtype: np.dtype[Any], length: int) -> npt.NDArray[Any]:
    """An array's numbers where they lie in the mapped file, whether null or not."""
    buffer = array.buffers()[-1]
    if buffer is None:
        return np.zeros(length, dtype)
    return np.frombuffer(buffer, dtype, length, array.offset * dtype.itemsize)


def _nulls(array: pa.Array) -> npt.NDArray[np.bool_]:
    return np.array([not value.is_valid for value in array], bool)
