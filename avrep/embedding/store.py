"""Features on disk: one row of Parquet for each clip, in the catalogue's order.

FEATURES/
    features.json           what the vectors are of; with a summary in it once all parts are there
    clips/                  one table, for any reader of Parquet
        part-000000.parquet key, start_s, end_s, vector: the clips of a run of the catalogue's rows
    quarantine/             items that could not be used, and why; see `avrep.pipeline.quarantine`

Each part says in its metadata (key "avrep", JSON) which encoder made it, of which catalogue, with
what config and versions.
"""

import json
import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from avrep.errors import ConfigError
from avrep.media.catalog import Catalog
from avrep.media.claimed_folder import read_claim
from avrep.media.put_in_place import put_in_place

FORMAT_VERSION = 2
FACTS = "features.json"
_CLIPS = "clips"
_METADATA_KEY = b"avrep"
_ROWS_PER_GROUP = 1024

Vectors = Annotated[npt.NDArray[np.float32], "n d"]
Seconds = Annotated[npt.NDArray[np.float64], "n"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureFacts:
    """What a folder of features holds."""

    kind: Literal["video", "audio"]
    """Which of the run's encoders."""
    width: int
    """Numbers in a vector."""
    encoder_digest: str
    """Hex SHA-256 of the encoder's weights, see `avrep.models.weights_digest`."""
    catalog_digest: str
    """`Catalog.digest`."""
    spacing: Mapping[str, Any]
    """Which clips of an item, as `SpacingConfig` says it."""
    form: Mapping[str, Any]
    """What a clip is."""
    batch_size: int
    """Clips that went through the encoder together: another number may change a vector's last bits."""
    version: int = FORMAT_VERSION


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureRows:
    """Clips and their vectors; row i of every field is the same clip."""

    keys: tuple[str, ...]
    """The items'."""
    start_s: Seconds
    """Where each clip begins, in seconds of its item."""
    end_s: Seconds
    vectors: Vectors

    def __len__(self) -> int:
        return len(self.keys)


@dataclass(frozen=True, slots=True)
class PartNotes:
    """What a part's writer left in it beside the rows."""

    facts: Mapping[str, Any]
    """What the vectors are of, and what made them."""
    failures: Sequence[Mapping[str, Any]] = field(default_factory=tuple)
    """Items of the part without a row: the fields of `Failure`."""


class FeatureStore:
    """A finished folder of features.

    `store.read()` is everything in memory; `store.batches()` are up to 1,024 rows at a time.
    """

    def __init__(self, path: Path, facts: FeatureFacts, claim: Mapping[str, Any]) -> None:
        """Use `FeatureStore.open`."""
        self.path = path
        self.facts = facts
        self.run = Path(claim["run"])
        """Where the run was whose encoder made the vectors."""
        self.catalog = Path(claim["catalog"])
        """Where the catalogue was."""
        # Earlier versions found files only where the catalogue says.
        self._root: str | None = claim.get("root")
        self._num_parts: int = claim["num_parts"]
        self._num_clips: int = claim["summary"]["num_clips"]

    @classmethod
    def open(cls, path: Path | str) -> "FeatureStore":
        """Open a finished folder of features.

        Raises:
            ConfigError: there is none of this version at `path`, or it is not finished.
        """
        path = Path(path)
        claim = read_claim(path, FACTS)
        if claim is None:
            raise ConfigError(f"no features at {path}; make them: avrep embed RUN CORPUS -o {path}")
        if claim.get("version") != FORMAT_VERSION:
            raise ConfigError(
                f"{path} holds features of version {claim.get('version')}, not {FORMAT_VERSION}; "
                "make them again: avrep embed"
            )
        if "summary" not in claim:
            raise ConfigError(f"{path} is not finished; start the same avrep embed again")
        facts = FeatureFacts(**{name: claim[name] for name in FeatureFacts.__slots__})
        return cls(path, facts, claim)

    def __len__(self) -> int:
        """Number of clips."""
        return self._num_clips

    def open_catalog(self, path: Path | None = None) -> Catalog:
        """The catalogue that the clips are of.

        Args:
            path: where it is now; where it was, if None.

        Raises:
            ConfigError: it is not there, or another one is.
        """
        path = path or self.catalog
        if not path.is_file():
            raise ConfigError(
                f"no catalogue at {path}, which {self.path} was made of; say where it is: "
                "--corpus FILE"
            )
        catalog = Catalog.open(path, self._root)
        if catalog.digest != self.facts.catalog_digest:
            raise ConfigError(
                f"{path} is another catalogue than that which {self.path} was made of; name that "
                "one: --corpus FILE"
            )
        return catalog

    def batches(self) -> Iterator[FeatureRows]:
        """All rows in the catalogue's order, up to 1,024 at a time.

        Raises:
            ConfigError: a part is missing.
        """
        for part in range(self._num_parts):
            path = part_path(self.path, part)
            if not path.is_file():
                raise ConfigError(f"{path} is missing; make it again: the same avrep embed")
            with pq.ParquetFile(path, memory_map=True) as file:
                for batch in file.iter_batches(_ROWS_PER_GROUP, use_threads=False):
                    yield _rows(batch, self.facts.width)

    def read(self) -> FeatureRows:
        """All rows, in memory."""
        found = list(self.batches())
        none = np.zeros(0, np.float64)
        return FeatureRows(
            keys=tuple(key for rows in found for key in rows.keys),
            start_s=np.concatenate([none, *(rows.start_s for rows in found)]),
            end_s=np.concatenate([none, *(rows.end_s for rows in found)]),
            vectors=np.concatenate(
                [np.zeros((0, self.facts.width), np.float32), *(rows.vectors for rows in found)]
            ),
        )


def part_path(folder: Path, part: int) -> Path:
    return parts_folder(folder) / f"part-{part:06d}.parquet"


def parts_folder(folder: Path) -> Path:
    """The table's folder in that of the features: nothing else is in it, for readers read it all."""
    return folder / _CLIPS


def write_part(path: Path, rows: FeatureRows, notes: PartNotes) -> None:
    """Write a part whole or not at all: the same rows and notes give the same bytes."""
    width = rows.vectors.shape[1]
    vector = pa.list_(pa.field("element", pa.float32(), nullable=False), width)
    schema = pa.schema(
        [
            pa.field("key", pa.string(), nullable=False),
            pa.field("start_s", pa.float64(), nullable=False),
            pa.field("end_s", pa.float64(), nullable=False),
            pa.field("vector", vector, nullable=False),
        ],
        metadata={
            _METADATA_KEY: json.dumps({**notes.facts, "failures": list(notes.failures)}).encode()
        },
    )
    values = pa.array(rows.vectors.reshape(-1), pa.float32())
    table = pa.table(
        [
            pa.array(rows.keys, pa.string()),
            pa.array(rows.start_s),
            pa.array(rows.end_s),
            pa.FixedSizeListArray.from_arrays(values, type=vector),
        ],
        schema=schema,
    )
    path.parent.mkdir(exist_ok=True)
    # Of its own, so that two writers of one part, which write the same, do not share a file.
    partial = path.with_name(f"{path.stem}.{_own_name()}.partial")
    # Vectors repeat nothing that a dictionary would save.
    with pq.ParquetWriter(partial, schema, compression="zstd", use_dictionary=False) as writer:
        writer.write_table(table, row_group_size=_ROWS_PER_GROUP)
    put_in_place(partial, path)


def read_notes(path: Path) -> PartNotes:
    """What a part says about itself; its rows are not read."""
    metadata = pq.read_schema(path).metadata or {}
    facts: dict[str, Any] = json.loads(metadata[_METADATA_KEY])
    return PartNotes(facts, tuple(facts.pop("failures")))


def num_rows(path: Path) -> int:
    return pq.read_metadata(path).num_rows


def _rows(batch: pa.RecordBatch, width: int) -> FeatureRows:
    vectors = batch.column("vector").flatten().to_numpy(zero_copy_only=True)
    return FeatureRows(
        keys=tuple(batch.column("key").to_pylist()),
        start_s=batch.column("start_s").to_numpy(zero_copy_only=True),
        end_s=batch.column("end_s").to_numpy(zero_copy_only=True),
        vectors=vectors.reshape(-1, width),
    )


def _own_name() -> str:
    return f"{socket.gethostname()}-{os.getpid()}"
