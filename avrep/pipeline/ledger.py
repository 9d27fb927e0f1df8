"""The ledger: what reached the trainer, one row an item, in files that end where checkpoints are.

RUN/ledger/step-00000000-00001000.rank-00000.parquet holds what one rank was given from the first
step (inclusive) to the last (exclusive), in the order in which it was given. Rows wait in memory
until a checkpoint is due, so that a run that resumes from its newest checkpoint goes on exactly
where the ledger ends: the files always tell of the steps that made the weights.
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from avrep.errors import ConfigError
from avrep.pipeline.plan import is_substitute
from avrep.types import Batch

SCHEMA = pa.schema(
    [
        pa.field("step", pa.int64(), nullable=False),
        pa.field("place", pa.int32(), nullable=False),  # Row of the global batch.
        pa.field("rank", pa.int32(), nullable=False),
        pa.field("epoch", pa.int64(), nullable=False),
        pa.field("item", pa.int64(), nullable=False),  # Row of the catalogue.
        pa.field("draw", pa.int64(), nullable=False),
        pa.field("key", pa.string(), nullable=False),
        pa.field("is_substitute", pa.bool_(), nullable=False),
    ]
)

_FOLDER = "ledger"
_ROWS_PER_GROUP = 1 << 16
_NAME = re.compile(r"step-(\d{8,18})-(\d{8,18})\.rank-(\d{5,9})\.parquet")


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class LedgerFile:
    """One file of a ledger, by its name."""

    first_step: int
    end_step: int
    """One past the last."""
    rank: int
    path: Path


class LedgerWriter:
    """Writes one rank's part of a ledger.

    Args:
        run_dir: the run's folder.
        rank: this trainer's.
        first_step: the run starts or resumes here. What the ledger has of this step and later ones
            belongs to weights that are gone: rank 0 removes it at once, for all ranks, as there may
            have been more of them before. A rank may write only when rank 0 has its writer.

    Raises:
        OSError: files of an earlier trajectory cannot be removed or cut.
        ConfigError: one of them is damaged.
    """

    def __init__(self, run_dir: Path, rank: int, first_step: int) -> None:
        self._folder = run_dir / _FOLDER
        self._rank = rank
        self._first_step = self._end_step = first_step
        self._rows: list[pa.RecordBatch] = []
        if rank == 0:
            _cut(run_dir, first_step)

    def add(self, batch: Batch, place: int) -> None:
        """Remember what a batch holds.

        Args:
            batch: as it reached the trainer.
            place: where its first row stands in the global batch.
        """
        count = len(batch.addresses)
        coordinates = np.array(
            [(a.epoch, a.item, a.draw) for a in batch.addresses], np.int64
        ).reshape(-1, 3)
        columns = [
            np.full(count, batch.step, np.int64),
            np.arange(place, place + count, dtype=np.int32),
            np.full(count, self._rank, np.int32),
            *coordinates.T,
            pa.array(batch.keys, pa.string()),
            pa.array([is_substitute(address) for address in batch.addresses], pa.bool_()),
        ]
        arrays = [
            pa.array(np.ascontiguousarray(c)) if isinstance(c, np.ndarray) else c for c in columns
        ]
        self._rows.append(pa.RecordBatch.from_arrays(arrays, schema=SCHEMA))
        self._end_step = max(self._end_step, batch.step + 1)

    def flush(self) -> None:
        """Write what was added since the last time, as one file that appears whole or not at all.

        Call it before the checkpoint of the same step gets its name: a ledger that is ahead of the
        newest checkpoint is cut when the run resumes; one that is behind has lost rows for good.

        Raises:
            OSError: it cannot be written; the rows are kept.
        """
        if not self._rows:
            return
        name = _name(self._first_step, self._end_step, self._rank)
        _write(self._folder / name, pa.Table.from_batches(self._rows, SCHEMA))
        self._rows = []
        self._first_step = self._end_step


def ledger_files(run_dir: Path) -> list[LedgerFile]:
    """The files of a run's ledger by their first step, then last, then rank."""
    found: list[LedgerFile] = []
    for path in (run_dir / _FOLDER).glob("step-*.parquet"):
        if match := _NAME.fullmatch(path.name):
            first, end, rank = (int(number) for number in match.groups())
            if first < end:
                found.append(LedgerFile(first_step=first, end_step=end, rank=rank, path=path))
    return sorted(found)


def _cut(run_dir: Path, first_step: int) -> None:
    """Leave what came before a step."""
    for partial in (run_dir / _FOLDER).glob("*.partial"):
        partial.unlink()
    # The latest first, so that a ledger whose cutting was interrupted has no hole.
    for file in reversed(ledger_files(run_dir)):
        if file.end_step <= first_step:
            continue
        if file.first_step < first_step:
            name = _name(file.first_step, first_step, file.rank)
            _write(file.path.with_name(name), _earlier_rows(file.path, first_step))
        file.path.unlink()


def _earlier_rows(path: Path, first_step: int) -> pa.Table:
    try:
        table = pq.read_table(path, schema=SCHEMA, page_checksum_verification=True)
    except pa.ArrowInvalid as error:
        raise ConfigError(
            f"{path} is damaged, so it cannot be cut at step {first_step} ({_first_line(error)}); "
            "remove the folder to go on with a ledger that begins there"
        ) from error
    return table.filter(pa.array(table["step"].to_numpy() < first_step))


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


def _name(first_step: int, end_step: int, rank: int) -> str:
    return f"step-{first_step:08d}-{end_step:08d}.rank-{rank:05d}.parquet"


def _write(path: Path, table: pa.Table) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    with partial.open("wb") as file:
        pq.write_table(
            table,
            file,
            compression="zstd",
            row_group_size=_ROWS_PER_GROUP,
            write_page_checksum=True,
        )
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
