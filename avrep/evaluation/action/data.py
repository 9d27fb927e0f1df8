"""A data set of labelled videos as it lies on disk: what every reader of a layout gives."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from avrep.errors import ConfigError
from avrep.evaluation.action.lists import counted
from avrep.evaluation.action.on_disk import locate, media_below
from avrep.evaluation.action.split import ActionSplit
from avrep.evaluation.task_result import DataFacts

ActionTask = Literal["ucf101", "hmdb51", "kinetics", "ssv2", "video_folder"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionData:
    """One split of a data set."""

    task: ActionTask
    videos_dir: Path
    """Every path of the split is below it, and is there."""
    split: ActionSplit = field(repr=False)
    """Paths as the disk has them."""
    digest: str
    """Hex SHA-256 of which videos train and test, with which labels and groups. Videos count by
    the names of their files, so that where a copy of the data set lies changes nothing."""
    fold: int = 1
    """Which of the data set's splits, from 1."""
    num_folds: int = 1
    """How many splits it has."""
    own_name: str = ""
    """What other data in this layout are called; empty for the official ones."""
    notes: tuple[str, ...] = ()
    """What a reader of a result must know of the data."""

    def facts(self, num_valid: int) -> DataFacts:
        """The data as a result quotes it.

        Args:
            num_valid: train videos that something was chosen on; they count as such, not as train.
        """
        return DataFacts(
            name=self.own_name or self.task,
            digest=self.digest,
            num_train=len(self.split.train) - num_valid,
            num_valid=num_valid,
            num_test=len(self.split.test),
            part=f"split {self.fold}" if self.num_folds > 1 else "",
            other_lists=bool(self.own_name),
        )

    def without(self, paths: Sequence[str], note: str) -> "ActionData":
        """The same without some videos, which cannot be used; the note says so."""
        gone = set(paths)
        split = replace(
            self.split,
            train=tuple(video for video in self.split.train if video.path not in gone),
            test=tuple(video for video in self.split.test if video.path not in gone),
        )
        if not split.train or not split.test:
            raise ConfigError(f"{self.task}: {note}; nothing of one side of the split is left")
        return replace(self, split=split, digest=split_digest(split), notes=(*self.notes, note))


def data_on_disk(
    task: ActionTask,
    listed: ActionSplit,
    videos_dir: Path,
    *,
    fold: int = 1,
    num_folds: int = 1,
    own_name: str = "",
    notes: Sequence[str] = (),
    allow_missing: bool = False,
    files: Sequence[str] | None = None,
) -> ActionData:
    """A listed split joined with its files.

    Args:
        task: which layout it has.
        listed: the split by its lists.
        videos_dir: where the videos are.
        fold: which split it is.
        num_folds: how many there are.
        own_name: of other data than the official ones.
        notes: what is to be told of it.
        allow_missing: leave out videos that have no file; a note then says how many, and which.
        files: paths below `videos_dir`, if they are known.

    Raises:
        ConfigError: see `locate`.
    """
    found = media_below(videos_dir) if files is None else files
    split, missing = locate(listed, videos_dir, found, allow_missing=allow_missing)
    if missing:
        total = len(listed.train) + len(listed.test)
        what = f"of {total} listed videos are missing and were left out, as allowed"
        notes = (*notes, counted(missing, what))
    return ActionData(
        task=task,
        videos_dir=videos_dir,
        split=split,
        digest=split_digest(split),
        fold=fold,
        num_folds=num_folds,
        own_name=own_name,
        notes=tuple(notes),
    )


def split_digest(split: ActionSplit) -> str:
    """Hex SHA-256 of a split, blind to folders and to the case of names."""
    lines = sorted(
        f"{side}\0{split.class_names[video.label]}\0{video.path.rpartition('/')[2].casefold()}"
        f"\0{video.group or ''}"
        for side, videos in (("train", split.train), ("test", split.test))
        for video in videos
    )
    digest = hashlib.sha256("\n".join((*split.class_names, split.group_scope, "")).encode())
    digest.update("\n".join(lines).encode())
    return digest.hexdigest()
