"""The catalogue of a data set's listed videos, made once and kept while the files stay as they are."""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from avrep.errors import ConfigError
from avrep.evaluation.action.data import ActionData, ActionTask
from avrep.evaluation.action.lists import counted, refuse
from avrep.evaluation.action.read import ACTION_FOLDS, read_action_data
from avrep.evaluation.action.split import GroupScope, LabelledVideo
from avrep.evaluation.tasks import TaskItems
from avrep.media.catalog import Catalog
from avrep.media.index import index_listing, read_rejects
from avrep.media.sources import Listing, SourceEntry
from avrep.types import RowNumbers

Progress = Callable[[int, int], None]
"""Called with (number done, number in all)."""
_SHOWN = 10


def open_splits(
    root: Path | str,
    task: ActionTask,
    work: Path,
    folds: Sequence[int] | None = None,
    *,
    group_scope: GroupScope = "class",
    allow_missing: bool = False,
    progress: Progress | None = None,
) -> tuple[Catalog, tuple[ActionData, ...]]:
    """Splits of a data set whose videos can all be opened, and the catalogue of them.

    Args:
        root: the data set's folder.
        task: which data set.
        work: a folder to keep the catalogue in.
        folds: which of its splits, from 1; all of them if None.
        group_scope: see `read_action_data`.
        allow_missing: leave out videos that are not there or cannot be opened; notes tell of them.
        progress: told how far it is with opening them.

    Raises:
        ConfigError: see `read_action_data`, `index_videos` and `usable_split`.
    """
    splits = [
        read_action_data(root, task, fold, group_scope=group_scope, allow_missing=allow_missing)
        for fold in (folds or range(1, ACTION_FOLDS[task] + 1))
    ]
    catalog = index_videos(splits, work, progress=progress)
    return catalog, tuple(
        usable_split(data, catalog, allow_missing=allow_missing) for data in splits
    )


def index_videos(
    splits: Sequence[ActionData],
    work: Path,
    *,
    num_workers: int | None = None,
    progress: Progress | None = None,
) -> Catalog:
    """Probe every video that any of the splits lists, unless that was done and no file has changed.

    Args:
        splits: of one data set; what they do not list is not looked at.
        work: a folder to keep the catalogue in.
        num_workers: processes that probe; the number of cores when None.
        progress: told how far it is.

    Raises:
        ConfigError: splits of several folders; or see `index_listing`.
    """
    folders = {data.videos_dir.resolve() for data in splits}
    if len(folders) != 1:
        raise ConfigError(f"splits of one data set lie in one folder, not {len(folders)}")
    folder = folders.pop()
    paths = sorted({video.path for data in splits for side in _sides(data) for video in side})
    digest = hashlib.sha256()
    entries = []
    for path in paths:
        facts = (folder / path).stat()
        digest.update(f"{path}\0{facts.st_size}\0{facts.st_mtime_ns}\n".encode())
        entries.append(
            SourceEntry(key=path, shard=path, offset_bytes=0, length_bytes=facts.st_size)
        )
    out = work / "catalogs" / f"{splits[0].task}-{digest.hexdigest()[:16]}.parquet"
    if not out.is_file():
        listing = Listing(root=str(folder), entries=tuple(entries), num_passed_over=0)
        index_listing(listing, out, num_workers=num_workers, progress=progress)
    return Catalog.open(out, str(folder))


def usable_split(data: ActionData, catalog: Catalog, *, allow_missing: bool) -> ActionData:
    """The split without the videos that cannot be opened as video.

    Raises:
        ConfigError: there are some, and they may not be missing.
    """
    keys = catalog.keys()
    usable = {keys[int(row)] for row in catalog.rows_with(video=True)}
    listed = [video.path for side in _sides(data) for video in side]
    broken = [path for path in listed if path not in usable]
    if not broken:
        return data
    table = catalog.path.with_name(f"{catalog.path.stem}.rejects.csv")
    reasons = {reject.key: reject.reason for reject in read_rejects(table)}
    named = [f"{path} ({reasons.get(path, 'no pictures')})" for path in broken]
    what = f"of {len(listed)} listed videos cannot be opened"
    if not allow_missing:
        mend = "fetch them again, or leave them out by --set allow_missing=true"
        refuse(named, what, mend, shown=_SHOWN)
    return data.without(broken, counted(named, f"{what} and were left out, as allowed"))


def task_items(data: ActionData, catalog: Catalog) -> TaskItems:
    """The split by the catalogue's rows, as every protocol takes it."""
    row_of = {key: row for row, key in enumerate(catalog.keys())}
    videos = [*data.split.train, *data.split.test]
    rows = [row_of[video.path] for video in videos]
    names = data.split.class_names
    num_train = len(data.split.train)
    groups = {row: video.group for row, video in zip(rows, videos, strict=True)}
    return TaskItems(
        task=data.task,
        train=_rows(rows[:num_train]),
        test=_rows(rows[num_train:]),
        label_sets={
            "class": {row: names[video.label] for row, video in zip(rows, videos, strict=True)}
        },
        groups=groups if any(groups.values()) else None,
        group_scope=data.split.group_scope,
        fold=data.fold if data.num_folds > 1 else None,
        own_name=data.own_name,
    )


def _sides(data: ActionData) -> tuple[tuple[LabelledVideo, ...], ...]:
    return data.split.train, data.split.test


def _rows(rows: list[int]) -> RowNumbers:
    return np.array(rows, np.int64)
