"""Holds a run's ledger against its plan: did each planned item reach the trainer once, in order?"""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from avrep.errors import ConfigError
from avrep.media.catalog import Catalog
from avrep.pipeline.ledger import LedgerFile, ledger_files
from avrep.pipeline.ledger_report import LedgerReport, LedgerTally
from avrep.pipeline.ledger_rows import LedgerRows, count_rows, read_rows
from avrep.pipeline.plan import FIRST_SUBSTITUTE_DRAW, Plan
from avrep.pipeline.plan_span import PlanSpan, planned_rows
from avrep.types import Address

_EXAMPLES = 3
# Files whose names claim far more steps than they have rows for would cost memory for nothing.
_MAX_PLACES_A_ROW = 64
_MAX_EMPTY_PLACES = 1 << 22

_Ints = npt.NDArray[np.int64]
_Mask = npt.NDArray[np.bool_]


def check_ledger(
    run_dir: Path,
    plan: Plan,
    catalog: Catalog,
    *,
    num_steps: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> LedgerReport:
    """Compare every row of a ledger with the plan, computed again.

    Ranks may have been more or fewer in parts of the run. Keys are compared by 64-bit hashes. It
    takes 9 bytes of memory for each item of the catalogue, and 17 for each item trained on between
    two checkpoints.

    Args:
        run_dir: the run's folder.
        plan: the run's plan.
        catalog: the run's catalogue.
        num_steps: so many steps have to be there, those of the newest checkpoint; or as many as the
            ledger has, if that is more.
        progress: told (steps checked, steps in all) now and then.

    Raises:
        ConfigError: there is no ledger, or a file of it is damaged.
    """
    files = ledger_files(run_dir)
    if not files:
        raise ConfigError(f"{run_dir} has no ledger; train with --set data.ledger=true to have one")
    num_steps = max(num_steps, *(file.end_step for file in files))
    tally = LedgerTally()
    key_hashes = _key_hashes(catalog)
    repeats = _Repeats(tally, len(catalog))
    done = 0
    for group in _sharing_steps(files):
        steps = range(group[0].first_step, max(file.end_step for file in group))
        _count_absent(tally, plan, range(done, steps.start))
        counted = [count_rows(file) for file in group]
        _refuse_empty(group, steps, plan, sum(num_rows for num_rows, _ in counted))
        rows = [repeats.note(plan, *part) for part in planned_rows(plan, steps)]
        check = _SpanCheck(tally, plan, key_hashes, steps, np.concatenate(rows))
        for file, (_, local_batch) in zip(group, counted, strict=True):
            check.add(file, local_batch)
        check.end()
        done = steps.stop
        if progress:
            progress(done, num_steps)
    _count_absent(tally, plan, range(done, num_steps))
    return tally.report(num_steps)


class _Repeats:
    """Watches that the plan itself visits no item twice in an epoch."""

    def __init__(self, tally: LedgerTally, num_items: int) -> None:
        self._tally = tally
        self._num_items = num_items
        self._epoch = -1
        self._visited = np.zeros(0, np.bool_)

    def note(self, plan: Plan, epoch: int, rows: _Ints) -> _Ints:
        """Take note of visits, and pass them on."""
        if epoch != self._epoch:
            self._epoch, self._visited = epoch, np.zeros(self._num_items, np.bool_)
        num_before = int(np.count_nonzero(self._visited))
        self._visited[rows.ravel()] = True
        num_again = rows.size - (int(np.count_nonzero(self._visited)) - num_before)
        words = f"the plan visits {num_again:,} items twice in epoch {epoch}"
        first_step = epoch * plan.steps_per_epoch
        self._tally.count("doubled", num_again, [(first_step, 0, words)] if num_again else [])
        return rows


class _SpanCheck:
    """Checks the files that share some steps: those between two checkpoints, of all ranks."""

    def __init__(
        self, tally: LedgerTally, plan: Plan, key_hashes: _Ints, steps: range, planned: _Ints
    ) -> None:
        self._tally = tally
        self._batch = plan.global_batch
        self._key_hashes = key_hashes
        self._steps = steps
        self._span = PlanSpan(plan, steps, planned)
        self._seen = np.zeros(len(steps) * self._batch, np.bool_)

    def add(self, file: LedgerFile, local_batch: int) -> None:
        """Check one rank's file, whose rank has that many rows of a step."""
        furthest = -1
        for rows in read_rows(file):
            # Where each row says it stands, counted from the span's first place; -1: nowhere.
            inside = self._span.has_place(rows.step, rows.place)
            at = np.where(inside, (rows.step - self._steps.start) * self._batch + rows.place, -1)
            doubled = self._take(at)
            reached = np.maximum.accumulate(np.concatenate([[furthest], at]))
            furthest = int(reached[-1])
            of_another = (rows.rank != file.rank) | (rows.place // local_batch != file.rank)
            self._judge(rows, inside & ~doubled, doubled, (at < reached[:-1]) | of_another)

    def end(self) -> None:
        """All files are in: what has not been seen is missing."""
        missing = np.flatnonzero(~self._seen)
        examples = [
            (self._steps.start + at // self._batch, at % self._batch, "no row")
            for at in missing[:_EXAMPLES].tolist()
        ]
        self._tally.count("missing", len(missing), examples)

    def _take(self, at: _Ints) -> _Mask:
        """Mark places as seen; which of them were already."""
        is_first = np.zeros(len(at), np.bool_)
        is_first[np.unique(at, return_index=True)[1]] = True
        doubled = (at >= 0) & (self._seen[at] | ~is_first)
        self._seen[at[at >= 0]] = True
        return doubled

    def _judge(self, rows: LedgerRows, single: _Mask, doubled: _Mask, displaced: _Mask) -> None:
        """Count each row under the first kind of fault that it has."""
        named_right = self._are_named_right(rows)
        planned = self._are_planned(rows, single & named_right)
        stand_in = self._stand_in(rows, single & named_right & ~planned)
        right = planned | stand_in
        astray = ~right & ~doubled & named_right
        if astray.any():
            astray &= self._span.has_anywhere(rows.epoch, rows.item, rows.draw)
        wrong = ~right & ~doubled & ~astray
        out_of_place = (right & displaced) | astray
        self._tally.num_items += len(rows.step)
        self._tally.num_substitutes += int(np.count_nonzero(stand_in))
        self._tally.count("doubled", int(np.count_nonzero(doubled)), rows.words(doubled))
        self._tally.count("wrong", int(np.count_nonzero(wrong)), rows.words(wrong))
        self._tally.count(
            "out of place", int(np.count_nonzero(out_of_place)), rows.words(out_of_place)
        )

    def _are_named_right(self, rows: LedgerRows) -> _Mask:
        """Whether the key is that of the item, and a substitute is called one."""
        exists = (rows.item >= 0) & (rows.item < len(self._key_hashes))
        expected = self._key_hashes[np.where(exists, rows.item, 0)]
        is_substitute = rows.draw >= FIRST_SUBSTITUTE_DRAW
        return exists & (expected == _hashes(rows.keys)) & (rows.is_substitute == is_substitute)

    def _are_planned(self, rows: LedgerRows, mask: _Mask) -> _Mask:
        found = np.zeros(len(mask), np.bool_)
        columns = (rows.step, rows.place, rows.epoch, rows.item, rows.draw)
        found[mask] = self._span.has_there(*(column[mask] for column in columns))
        return found

    def _stand_in(self, rows: LedgerRows, mask: _Mask) -> _Mask:
        found = np.zeros(len(mask), np.bool_)
        for i in np.flatnonzero(mask & rows.is_substitute).tolist():
            address = Address(int(rows.epoch[i]), int(rows.item[i]), int(rows.draw[i]))
            step, place = int(rows.step[i]), int(rows.place[i])
            found[i] = self._span.substitutes_there(step, place, address)
        return found


def _sharing_steps(files: list[LedgerFile]) -> Iterator[list[LedgerFile]]:
    group: list[LedgerFile] = []
    for file in files:
        if group and file.first_step >= max(other.end_step for other in group):
            yield group
            group = []
        group.append(file)
    yield group


def _count_absent(tally: LedgerTally, plan: Plan, steps: range) -> None:
    if steps:
        words = f"no file has steps {steps.start:,} to {steps.stop - 1:,}"
        num_places = (steps.stop - steps.start) * plan.global_batch
        tally.count("missing", num_places, [(steps.start, 0, words)])


def _refuse_empty(group: list[LedgerFile], steps: range, plan: Plan, num_rows: int) -> None:
    num_places = (steps.stop - steps.start) * plan.global_batch
    if num_places > _MAX_PLACES_A_ROW * num_rows + _MAX_EMPTY_PLACES:
        raise ConfigError(
            f"{group[-1].path}: steps {steps.start:,} to {steps.stop - 1:,} have {num_rows:,} rows "
            "in all, which no run writes; remove that file"
        )


def _key_hashes(catalog: Catalog) -> _Ints:
    """A hash of each row's key, good for this process only."""
    hashes = np.zeros(len(catalog), np.int64)
    filled = 0
    with pq.ParquetFile(catalog.path, memory_map=True) as file:
        for batch in file.iter_batches(columns=["key"]):
            hashes[filled : filled + len(batch)] = _hashes(batch.column(0))
            filled += len(batch)
    return hashes


def _hashes(keys: pa.Array) -> _Ints:
    return np.fromiter(map(hash, keys.to_pylist()), np.int64, len(keys))
