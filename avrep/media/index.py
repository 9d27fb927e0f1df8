"""Indexing: every file of a source is probed once and becomes a catalogue row or a reject.

Probing runs in processes of its own. Media that ends the process it is opened in, or that never
lets go of it, costs that one file: what was in flight is probed again, one file a process, until
the culprit is known.
"""

import csv
import multiprocessing
import os
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import astuple, dataclass, fields, replace
from functools import partial
from pathlib import Path

from avrep.errors import ConfigError, MediaError, ShardError
from avrep.media import shards
from avrep.media.catalog import write_catalog
from avrep.media.deadline import ended_after
from avrep.media.limits import DecodeLimits
from avrep.media.own_process import OwnProcess, interrupts_for_parent_alone
from avrep.media.probe import probe
from avrep.media.sources import Listing, SourceEntry, list_sources
from avrep.media.storage import StorageConfig
from avrep.types import MediaItem

Progress = Callable[[int, int], None]
"""Called with (number done, number in all)."""
_DEADLINE_S = DecodeLimits().deadline_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Reject:
    """A file that cannot be used, where it failed, and why."""

    key: str
    shard: str
    offset_bytes: int
    length_bytes: int
    stage: str
    """"read", "open", "video", "audio", "limits", "deadline" or "crash"."""
    reason: str


ProbeOne = Callable[[SourceEntry, str], MediaItem | Reject]


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexSummary:
    catalog: Path
    rejects: Path
    num_items: int
    num_rejects: int
    num_passed_over: int
    notices: tuple[str, ...]


def index_sources(
    sources: Sequence[str],
    out: Path,
    *,
    num_workers: int | None = None,
    progress: Progress | None = None,
    storage: StorageConfig | None = None,
) -> IndexSummary:
    """Write the catalogue of all media below the sources, and beside it the table of rejects.

    See `index_listing`, which does it of what `list_sources` finds.

    Args:
        sources: folders, files, tar shards, fsspec URLs.
        out: see `index_listing`, as for what follows.
        num_workers: processes that probe.
        progress: told how far it is.
        storage: how patiently stores are asked.

    Raises:
        ConfigError: a source does not exist or holds no media that can be used, or no process can be
            started.
        ShardError: a source cannot be listed.
        OSError: catalogue or rejects cannot be written, on a full disk for one.
    """
    listing = list_sources(sources, storage)
    return index_listing(listing, out, num_workers=num_workers, progress=progress, storage=storage)


def index_listing(
    listing: Listing,
    out: Path,
    *,
    num_workers: int | None = None,
    progress: Progress | None = None,
    storage: StorageConfig | None = None,
) -> IndexSummary:
    """Write the catalogue of what was listed, and beside it the table of rejects.

    Either takes the place of an earlier one only when both are written. Where all files are rejected,
    the table of rejects alone is written.

    Args:
        listing: what there is.
        out: the catalogue, a `.parquet` path; the rejects go to `<stem>.rejects.csv` beside it.
        num_workers: processes that probe; the number of cores when None.
        progress: told how far it is.
        storage: how patiently stores are asked; the defaults of `StorageConfig` when None.

    Raises:
        ConfigError: no process can be started, two items have one key, `out` is a folder, or all files
            are rejected.
        OSError: catalogue or rejects cannot be written, on a full disk for one.
    """
    _check_before_probing(listing, out)
    rejects = [
        Reject(key=shard, shard=shard, offset_bytes=0, length_bytes=0, stage="read", reason=reason)
        for shard, reason in listing.unreadable
    ]
    items: dict[str, MediaItem] = {}
    for num_done, result in enumerate(
        probe_entries(
            listing.entries,
            listing.root,
            num_workers or _num_cores(),
            partial(probe_entry, storage=storage),
        ),
        start=1,
    ):
        if isinstance(result, Reject):
            rejects.append(result)
        else:
            items[result.key] = result
        if progress:
            progress(num_done, len(listing.entries))
    # The catalogue's order is the listing's, whatever order the probes finished in.
    ordered = (items[entry.key] for entry in listing.entries if entry.key in items)
    rejects_path = out.with_name(f"{out.stem}.rejects.csv")
    with _replaced(rejects_path) as partial_path:
        _write_rejects(partial_path, sorted(rejects, key=lambda reject: reject.key))
        if items:
            write_catalog(out, ordered, listing.root)
    if not items:
        raise ConfigError(
            f"{len(rejects)} of {len(rejects)} files rejected, so there is no catalogue to write; why is in "
            f"{rejects_path}"
        )
    return IndexSummary(
        catalog=out,
        rejects=rejects_path,
        num_items=len(items),
        num_rejects=len(rejects),
        num_passed_over=listing.num_passed_over,
        notices=listing.notices,
    )


def _check_before_probing(listing: Listing, out: Path) -> None:
    """Tell of what would be refused when all is probed, which may take hours."""
    if out.is_dir():
        raise ConfigError(f"{out} is a folder; name the catalogue's file: -o corpus.parquet")
    out.parent.mkdir(parents=True, exist_ok=True)
    if not os.access(out.parent, os.W_OK):
        raise ConfigError(f"cannot write to {out.parent}; name another place: -o FILE")
    if twice := [key for key, n in Counter(each.key for each in listing.entries).items() if n > 1]:
        raise ConfigError(f"two items have the key {twice[0]!r}; keys must be unique")


def read_rejects(path: Path) -> list[Reject]:
    """The table that `index_sources` wrote; empty when there is none."""
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return [
            Reject(
                key=row["key"],
                shard=row["shard"],
                offset_bytes=int(row["offset_bytes"]),
                length_bytes=int(row["length_bytes"]),
                stage=row["stage"],
                reason=row["reason"],
            )
            for row in csv.DictReader(file)
        ]


def probe_entry(
    entry: SourceEntry, root: str, storage: StorageConfig | None = None
) -> MediaItem | Reject:
    """Open one entry and say what is in it, or why it cannot be used.

    What is read whole for that gets its CRC-32, so that every later read can be checked.
    """
    item = MediaItem(
        key=entry.key,
        shard=entry.shard,
        offset_bytes=entry.offset_bytes,
        length_bytes=entry.length_bytes,
        duration_s=0.0,
        labels=entry.labels,
    )
    try:
        source = shards.fetch(item, root, storage)
        if isinstance(source, bytes):
            return probe(source, replace(item, crc32=zlib.crc32(source)))
        with source:
            return probe(source, item)
    except MediaError as error:
        return _reject(entry, error.stage, error.reason)
    except ShardError as error:
        return _reject(entry, "read", str(error))


def probe_entries(
    entries: Sequence[SourceEntry],
    root: str,
    num_workers: int,
    probe_one: ProbeOne = probe_entry,
    deadline_s: float = _DEADLINE_S,
) -> Iterator[MediaItem | Reject]:
    """Probe in parallel; results come as they finish, one for every entry.

    Args:
        entries: what to probe.
        root: what their shards are relative to.
        num_workers: processes.
        probe_one: what a process does with an entry.
        deadline_s: a process that takes longer over an entry is ended.
    """
    remaining = list(entries)
    while remaining:
        finished: set[int] = set()
        try:
            for i, result in _probe_in_pool(remaining, root, num_workers, probe_one, deadline_s):
                finished.add(i)
                yield result
        except BrokenProcessPool:
            in_flight = [e for i, e in enumerate(remaining) if i not in finished]
            # Submitted in order: the culprit is among the first that did not finish.
            suspects, in_flight = in_flight[: 2 * num_workers], in_flight[2 * num_workers :]
            for suspect in suspects:
                yield _probe_alone(suspect, root, probe_one, deadline_s)
            remaining = in_flight
        else:
            return


def _probe_in_pool(
    entries: Sequence[SourceEntry],
    root: str,
    num_workers: int,
    probe_one: ProbeOne,
    deadline_s: float,
) -> Iterator[tuple[int, MediaItem | Reject]]:
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(min(num_workers, len(entries)), context)
    try:
        _require_start(pool)
        running: dict[Future[MediaItem | Reject], int] = {}
        for i, entry in enumerate(entries):
            # A pool starts its processes as work comes in.
            with interrupts_for_parent_alone():
                future = pool.submit(_probe_in_time, probe_one, entry, root, deadline_s)
            running[future] = i
            if len(running) >= 2 * num_workers:
                yield from _finished(running)
        while running:
            yield from _finished(running)
    finally:
        pool.shutdown(cancel_futures=True)


def _probe_in_time(
    probe_one: ProbeOne, entry: SourceEntry, root: str, deadline_s: float
) -> MediaItem | Reject:
    with ended_after(deadline_s):
        return probe_one(entry, root)


def _require_start(pool: ProcessPoolExecutor) -> None:
    """No file is to blame where processes cannot even start."""
    try:
        with interrupts_for_parent_alone():
            started = pool.submit(os.getpid)
        started.result()
    except BrokenProcessPool:
        raise ConfigError(
            "the processes that probe files cannot start; a script that indexes must be a file and "
            "do so under `if __name__ == '__main__':`"
        ) from None


def _finished(
    running: dict[Future[MediaItem | Reject], int],
) -> Iterator[tuple[int, MediaItem | Reject]]:
    done, _ = wait(running, return_when=FIRST_COMPLETED)
    for future in done:
        yield running[future], future.result()
        del running[future]


def _probe_alone(
    entry: SourceEntry, root: str, probe_one: ProbeOne, deadline_s: float
) -> MediaItem | Reject:
    with OwnProcess(probe_one, DecodeLimits().max_memory_bytes) as process:
        try:
            return process.call(deadline_s, entry, root)
        except MediaError as error:
            return _reject(entry, error.stage, error.reason)


def _reject(entry: SourceEntry, stage: str, reason: str) -> Reject:
    return Reject(
        key=entry.key,
        shard=entry.shard,
        offset_bytes=entry.offset_bytes,
        length_bytes=entry.length_bytes,
        stage=stage,
        reason=reason,
    )


@contextmanager
def _replaced(path: Path) -> Iterator[Path]:
    """A path to write to, which becomes `path` when all went well; else nothing is changed."""
    partial_path = path.with_name(path.name + ".partial")
    partial_path.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield partial_path
        partial_path.replace(path)
    finally:
        partial_path.unlink(missing_ok=True)


def _write_rejects(path: Path, rejects: Sequence[Reject]) -> None:
    try:
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow([field.name for field in fields(Reject)])
            writer.writerows(astuple(reject) for reject in rejects)
    except OSError as error:
        raise OSError(
            f"cannot write the table of rejects {path}: {error.strerror or error}; an earlier "
            "catalogue is untouched; make room, or write it elsewhere (-o)"
        ) from error


def _num_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
