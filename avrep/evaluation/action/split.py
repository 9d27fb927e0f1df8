"""Labelled videos in a train and a test part, and their join with a catalogue's keys."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from avrep.evaluation.action.lists import refuse

GroupScope = Literal["class", "corpus"]
"""Where a group's name means one source: within a class (UCF101), or across classes (a person)."""

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledVideo:
    """One video of a split."""

    path: str
    """Below the folder of videos, posix, extension included."""
    label: int
    """Row of the split's class names, from 0."""
    group: str | None
    """What videos cut from one recording share, such as "g08"; None when the name tells of none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionSplit:
    """Which videos train and which test."""

    class_names: tuple[str, ...]
    train: tuple[LabelledVideo, ...]
    test: tuple[LabelledVideo, ...]
    group_scope: GroupScope = "class"

    def straddling_groups(self) -> tuple[str, ...]:
        """Groups with videos on both sides, sorted: the test would ask for what was shown."""
        sides = [{self._source(video) for video in side} for side in (self.train, self.test)]
        return tuple(sorted((sides[0] & sides[1]) - {""}))

    def _source(self, video: LabelledVideo) -> str:
        if video.group is None:
            return ""
        if self.group_scope == "corpus":
            return video.group
        return f"{self.class_names[video.label]}/{video.group}"

    def __repr__(self) -> str:
        return (
            f"ActionSplit({len(self.class_names)} classes, {len(self.train)} train, "
            f"{len(self.test)} test, group_scope={self.group_scope!r})"
        )


def match_keys(split: ActionSplit, keys: Sequence[str]) -> tuple[Rows, Rows]:
    """Rows of a catalogue that hold the split's videos.

    A key and a path are the same video when one, part by part and blind to case, is the end of
    the other: `videos/falldown/a.avi` is `FallDown/a.avi`. Of several such keys, one that is equal
    but for case wins, and one that is equal in case too wins over that.

    Args:
        split: the videos wanted.
        keys: every key of the catalogue, in row order, extension included.

    Returns:
        Rows of `keys`, int64[len(split.train)] and int64[len(split.test)], in the split's order.

    Raises:
        ConfigError: videos without a key, with several, or two videos with the same key.
    """
    videos = (*split.train, *split.test)
    found = find_rows(videos, keys)
    missing = [video.path for video, rows in zip(videos, found, strict=True) if not rows]
    refuse(missing, f"of {len(videos)} videos of the split have no key", "index their folder too")
    unclear = [video.path for video, rows in zip(videos, found, strict=True) if len(rows) > 1]
    refuse(unclear, "videos of the split match several keys", "index one folder of videos only")
    rows = np.array([row for (row,) in found], dtype=np.int64)
    times = Counter(rows.tolist())
    shared = [keys[int(row)] for row in sorted(times) if times[row] > 1]
    refuse(shared, "keys each match several videos of the split", "index the folder above them")
    return rows[: len(split.train)], rows[len(split.train) :]


def find_rows(videos: Sequence[LabelledVideo], keys: Sequence[str]) -> list[list[int]]:
    """Rows of the keys that could be each video, by the rule of `match_keys`; of some, none."""
    by_name: defaultdict[str, list[int]] = defaultdict(list)
    for row, key in enumerate(keys):
        by_name[_parts(key)[-1]].append(row)
    return [_best(video.path, keys, by_name) for video in videos]


def _parts(path: str) -> tuple[str, ...]:
    return tuple(path.casefold().replace("\\", "/").strip("/").split("/"))


def _best(path: str, keys: Sequence[str], by_name: dict[str, list[int]]) -> list[int]:
    wanted = _parts(path)
    rows: list[int] = []
    for row in by_name.get(wanted[-1], ()):
        parts = _parts(keys[row])
        shorter = min(len(parts), len(wanted))
        if parts[-shorter:] == wanted[-shorter:]:
            rows.append(row)
    for better in (
        [row for row in rows if keys[row] == path],
        [row for row in rows if _parts(keys[row]) == wanted],
    ):
        if better:
            return better
    return rows
