"""The quarantine: items that could not be used, on disk for people and in memory for the stream.

RUN/quarantine/rank-00000.jsonl holds one JSON line for each failure, in the order in which that
rank met them. Each rank writes its own file; readers take them all, whatever the world size was
when they were written.
"""

import json
import os
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, TypeAdapter, ValidationError

from avrep.errors import ConfigError
from avrep.types import Address, Failure

_FOLDER = "quarantine"
_STORAGE_STAGE = "read"
_MAX_LINE_BYTES = 1 << 20
_MAX_TEXT = 1000
_MERGE_AFTER = 4096

_Count = Annotated[int, Field(ge=0, lt=2**63)]


@dataclass(frozen=True, slots=True, kw_only=True)
class QuarantineEntry:
    """One failure: which item, where its bytes are, and what went wrong with it when."""

    step: _Count
    epoch: _Count
    item: _Count
    """Row of the run's catalogue."""
    draw: _Count
    key: str
    uri: str
    """The file that holds the item's bytes."""
    offset_bytes: _Count
    length_bytes: _Count
    stage: str
    """As in `Failure`; "read" is the storage's fault, every other the item's own."""
    error: str
    """Name of the error's class."""
    reason: str
    attempts: _Count
    node: str
    time_utc: str
    """When it was listed: ISO 8601, to the second."""

    @property
    def address(self) -> Address:
        return Address(self.epoch, self.item, self.draw)


_ENTRY = TypeAdapter(QuarantineEntry)


class KnownBad:
    """What a stream need not try again, from the quarantine and from what failed since.

    A failure of the item itself excludes its catalogue row, from the step at which it failed on. Not
    before, so that a resumed run, which replays earlier steps, sees what it saw then. A failure of
    the storage excludes that address at that step only: the store may be back the next time, and
    the item is as good as ever.

    An item that always fails gives the same stream whether it is known to be bad or tried again, as
    its substitutes are a function of its address. Which failures are known by when (how far ahead
    the stream reads, how many ranks there are, whether the run was resumed) therefore changes
    nothing.

    Kept as sorted arrays: 16 bytes for an item, 32 for an address, and pickled as such.
    """

    def __init__(self, entries: Iterable[QuarantineEntry] = ()) -> None:
        self._rows: npt.NDArray[np.int64] = np.zeros(0, np.int64)
        self._from_steps: npt.NDArray[np.int64] = np.zeros(0, np.int64)
        # Columns step, epoch, item, draw; ascending by step.
        self._reads: npt.NDArray[np.int64] = np.zeros((0, 4), np.int64)
        self._late_rows: dict[int, int] = {}
        self._late_reads: set[tuple[int, int, int, int]] = set()
        for entry in entries:
            self._add(entry.address, entry.step, entry.stage)
        self._merge()

    def excludes(self, address: Address, step: int) -> bool:
        """Whether the stream passes the address over at this step."""
        late = self._late_rows.get(address.item)
        if late is not None and step >= late:
            return True
        if len(self._rows):
            at = int(self._rows.searchsorted(address.item))
            known = at < len(self._rows) and self._rows[at] == address.item
            if known and step >= self._from_steps[at]:
                return True
        place = (step, address.epoch, address.item, address.draw)
        if place in self._late_reads:
            return True
        if not len(self._reads):
            return False
        first, last = self._reads[:, 0].searchsorted((step, step + 1))
        return first < last and bool((self._reads[first:last] == place).all(axis=1).any())

    def admit(self, failure: Failure, step: int) -> None:
        """Remember a failure that was met at a step."""
        self._add(failure.address, step, failure.stage)

    def copy(self) -> Self:
        """One that may be added to without changing this one."""
        twin = type(self)()
        # The arrays are replaced when something is merged into them, never written to.
        twin._rows, twin._from_steps, twin._reads = self._rows, self._from_steps, self._reads
        twin._late_rows, twin._late_reads = dict(self._late_rows), set(self._late_reads)
        return twin

    def _add(self, address: Address, step: int, stage: str) -> None:
        if stage == _STORAGE_STAGE:
            self._late_reads.add((step, address.epoch, address.item, address.draw))
        else:
            known = self._late_rows.get(address.item, step)
            self._late_rows[address.item] = min(known, step)
        num_late = len(self._late_rows) + len(self._late_reads)
        if num_late >= max(_MERGE_AFTER, (len(self._rows) + len(self._reads)) // 8):
            self._merge()

    def _merge(self) -> None:
        late = np.array(list(self._late_rows.items()), np.int64).reshape(-1, 2)
        rows = np.concatenate([self._rows, late[:, 0]])
        steps = np.concatenate([self._from_steps, late[:, 1]])
        by_row = np.lexsort((steps, rows))
        self._rows, earliest = np.unique(rows[by_row], return_index=True)
        self._from_steps = steps[by_row][earliest]
        late_reads = np.array(list(self._late_reads), np.int64).reshape(-1, 4)
        reads = np.concatenate([self._reads, late_reads])
        self._reads = reads[np.argsort(reads[:, 0], kind="stable")]
        self._late_rows, self._late_reads = {}, set()


class QuarantineWriter:
    """Appends one rank's failures to its file, each on the disk before `add` returns."""

    def __init__(self, run_dir: Path, rank: int) -> None:
        self._run_dir = run_dir
        self._path = run_dir / _FOLDER / f"rank-{rank:05d}.jsonl"
        self._listed: set[tuple[int, Address]] | None = None

    def add(self, step: int, failures: Sequence[Failure]) -> None:
        """List failures met at a step, save those listed by any rank before the run was resumed.

        Raises:
            OSError: they cannot be written.
            ConfigError: the files there are not a quarantine's.
        """
        if not failures:
            return
        if self._listed is None:
            # Only what a resumed run comes past again can be listed already.
            entries = read_quarantine(self._run_dir)
            self._listed = {(e.step, e.address) for e in entries if e.step >= step}
            _mend_last_line(self._path)
        time_utc = datetime.now(UTC).isoformat(timespec="seconds")
        lines: list[str] = []
        for failure in failures:
            if (step, failure.address) not in self._listed:
                self._listed.add((step, failure.address))
                lines.append(json.dumps(asdict(_entry(step, failure, time_utc))) + "\n")
        if lines:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            # Opened anew each time: releasing entries replaces the file.
            with self._path.open("a", encoding="ascii") as file:
                file.writelines(lines)
                file.flush()
                os.fsync(file.fileno())


def read_quarantine(run_dir: Path) -> list[QuarantineEntry]:
    """All entries of a run, by step; none where nothing was quarantined.

    A last line that was cut short, because its writer was killed, is passed over.

    Raises:
        ConfigError: a line is not a quarantine's entry.
    """
    entries = [entry for path in _files(run_dir) for _, entry in _read(path)]
    return sorted(entries, key=lambda entry: entry.step)


def release(run_dir: Path, keys: Collection[str] | None = None) -> int:
    """Forget entries, file by file, each replaced whole; not while the run is going on.

    A run that is resumed tries released items again, so that it may read other clips than it would
    have read.

    Args:
        run_dir: the run's folder.
        keys: forget the entries of these items; all entries when None, even where a file of them is
            damaged.

    Returns:
        Number of items forgotten; of damaged files, those that could be read.

    Raises:
        ConfigError: a line is not a quarantine's entry.
    """
    released: set[str] = set()
    for path in _files(run_dir):
        kept: list[bytes] = []
        try:
            for line, entry in _read(path):
                if keys is None or entry.key in keys:
                    released.add(entry.key)
                else:
                    kept.append(line)
        except ConfigError:
            if keys is not None:
                raise
        if kept:
            _replace(path, b"".join(kept))
        else:
            path.unlink()
    return len(released)


def _entry(step: int, failure: Failure, time_utc: str) -> QuarantineEntry:
    return QuarantineEntry(
        step=step,
        epoch=failure.address.epoch,
        item=failure.address.item,
        draw=failure.address.draw,
        key=failure.key,
        uri=failure.uri,
        offset_bytes=failure.offset_bytes,
        length_bytes=failure.length_bytes,
        stage=failure.stage,
        error=failure.error[:_MAX_TEXT],
        reason=failure.reason[:_MAX_TEXT],
        attempts=failure.attempts,
        node=failure.node[:_MAX_TEXT],
        time_utc=time_utc,
    )


def _files(run_dir: Path) -> list[Path]:
    return sorted((run_dir / _FOLDER).glob("rank-*.jsonl"))


def _read(path: Path) -> Iterator[tuple[bytes, QuarantineEntry]]:
    with path.open("rb") as file:
        for number, line in enumerate(iter(lambda: file.readline(_MAX_LINE_BYTES), b""), start=1):
            if not line.endswith(b"\n") and len(line) < _MAX_LINE_BYTES:
                return
            try:
                entry = _ENTRY.validate_json(line, strict=True)
            except ValidationError as error:
                what = " ".join(str(error.errors()[0]["msg"]).split())
                raise ConfigError(
                    f"{path}, line {number}, is no entry of a quarantine ({what}); remove that "
                    "line, or forget all entries: avrep quarantine RUN --clear"
                ) from None
            yield line, entry


def _mend_last_line(path: Path) -> None:
    """Cut off a last line that was not written to its end."""
    if not path.is_file():
        return
    with path.open("r+b") as file:
        whole = 0
        for line in iter(lambda: file.readline(_MAX_LINE_BYTES), b""):
            if line.endswith(b"\n"):
                whole = file.tell()
        file.truncate(whole)


def _replace(path: Path, content: bytes) -> None:
    partial = path.with_name(path.name + ".partial")
    with partial.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
