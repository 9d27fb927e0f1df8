"""Reads a ledger's files a few rows at a time, trusting nothing in them."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from avrep.errors import ConfigError
from avrep.pipeline.ledger import SCHEMA, LedgerFile

_ROWS_AT_A_TIME = 1 << 16

_Ints = npt.NDArray[np.int64]
_Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerRows:
    """Some rows of a rank's file: columns of one length, in the file's order."""

    step: _Ints
    place: _Ints
    rank: _Ints
    epoch: _Ints
    item: _Ints
    draw: _Ints
    is_substitute: _Mask
    keys: pa.Array

    def words(self, mask: _Mask) -> Iterator[tuple[int, int, str]]:
        """(step, place, description) of each row under a mask."""
        for i in np.flatnonzero(mask).tolist():
            address = f"epoch {self.epoch[i]}, item {self.item[i]}, draw {self.draw[i]}"
            found = f"{self.keys[i].as_py()} ({address}), rank {self.rank[i]}"
            yield int(self.step[i]), int(self.place[i]), found


def count_rows(file: LedgerFile) -> tuple[int, int]:
    """How many rows a file has, and how many of each step: as many as most of its steps have.

    Raises:
        ConfigError: it is damaged, or not a ledger's.
    """
    try:
        if not pq.read_schema(file.path).equals(SCHEMA):
            raise ConfigError(f"{file.path} does not have a ledger's columns; remove that file")
        steps = pq.read_table(file.path, columns=["step"])["step"].to_numpy()
    except (pa.ArrowException, OSError) as error:
        raise _damaged(file, error) from error
    if not len(steps):
        return 0, 1
    sizes, how_often = np.unique(np.unique(steps, return_counts=True)[1], return_counts=True)
    return len(steps), int(sizes[how_often.argmax()])


def read_rows(file: LedgerFile) -> Iterator[LedgerRows]:
    """All rows of a file that `count_rows` has found to be a ledger's.

    Raises:
        ConfigError: it is damaged.
    """
    try:
        with pq.ParquetFile(file.path, page_checksum_verification=True) as parquet:
            for batch in parquet.iter_batches(_ROWS_AT_A_TIME):
                numbers = {
                    name: batch.column(name).to_numpy().astype(np.int64)
                    for name in ("step", "place", "rank", "epoch", "item", "draw")
                }
                flags = batch.column("is_substitute").to_numpy(zero_copy_only=False)
                yield LedgerRows(**numbers, is_substitute=flags, keys=batch.column("key"))
    except (pa.ArrowException, OSError) as error:
        raise _damaged(file, error) from error


def _damaged(file: LedgerFile, error: Exception) -> ConfigError:
    return ConfigError(
        f"{file.path} is damaged ({' '.join(str(error).split())[:200]}); what it said is lost"
    )
