"""The files of a data set as they lie below one folder, and the split's videos among them."""

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from avrep.errors import ConfigError, LayoutError
from avrep.evaluation.action.lists import refuse
from avrep.evaluation.action.split import ActionSplit, LabelledVideo, find_rows
from avrep.media.sources import MEDIA_SUFFIXES

_DEPTH = 3
_SHOWN = 10


def misplaced(task: str, root: Path, what: str, layout: str) -> LayoutError:
    """The error for a data set that is not there, or not laid out as it should be, with the tree."""
    return LayoutError(f"{task}: {what} below {root}", f"{root}\n{layout.strip()}")


def folders_below(root: Path) -> Iterator[Path]:
    """The root and the folders in it, three levels deep, nearest first; hidden ones are left out."""
    level = [root]
    for _ in range(_DEPTH):
        yield from level
        inner = [entry for folder in level for entry in os.scandir(folder) if _is_folder(entry)]
        level = sorted(Path(entry.path) for entry in inner)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    return entry.is_dir() and not entry.name.startswith(".")


def find_folder(root: Path, is_it: Callable[[Path], bool]) -> Path | None:
    """The first folder, nearest to the root, that is it; None where none is."""
    return next((folder for folder in folders_below(root) if is_it(folder)), None)


def find_file(root: Path, *endings: str) -> Path | None:
    """The one file nearest to the root whose name ends so, of the first ending that any has.

    Raises:
        ConfigError: a folder holds several.
    """
    for ending in endings:
        for folder in folders_below(root):
            found = sorted(path for path in folder.glob(f"*{ending}") if path.is_file())
            if len(found) > 1:
                names = ", ".join(path.name for path in found[:3])
                raise ConfigError(f"{folder} holds several *{ending}: {names}. Mend: keep one")
            if found:
                return found[0]
    return None


def media_below(folder: Path) -> tuple[str, ...]:
    """Paths of the media files below a folder, posix and relative to it, in the order of names."""
    found: list[str] = []
    for parent, folders, files in os.walk(folder, followlinks=True):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        within = Path(parent).relative_to(folder)
        found += [
            (within / name).as_posix()
            for name in files
            if Path(name).suffix.lower() in MEDIA_SUFFIXES and not name.startswith(".")
        ]
    return tuple(sorted(found))


def locate(
    split: ActionSplit, folder: Path, files: Sequence[str], *, allow_missing: bool
) -> tuple[ActionSplit, tuple[str, ...]]:
    """The split's videos under the names that the disk gives them.

    A listed path and a file are the same video as in `match_keys`.

    Args:
        split: as the lists have it.
        folder: whose files they are, for messages.
        files: paths below it, see `media_below`.
        allow_missing: leave videos out that have no file, instead of refusing.

    Returns:
        The split without the videos that have no file, and the listed paths of those.

    Raises:
        ConfigError: videos without a file that are not allowed to be missing, videos that several
            files could be, or a side of which nothing is left.
    """
    sides = [_located(side, files) for side in (split.train, split.test)]
    missing = tuple(path for _, absent in sides for path in absent)
    if missing and not allow_missing:
        total = len(split.train) + len(split.test)
        refuse(
            missing,
            f"of {total} listed videos are not below {folder}",
            "fetch them, or leave them out by --set allow_missing=true, which results tell",
            shown=_SHOWN,
        )
    if not sides[0][0] or not sides[1][0]:
        raise ConfigError(f"no listed video of one side of the split is below {folder}")
    return replace(split, train=sides[0][0], test=sides[1][0]), missing


def _located(
    videos: Sequence[LabelledVideo], files: Sequence[str]
) -> tuple[tuple[LabelledVideo, ...], list[str]]:
    found = find_rows(videos, files)
    unclear = [video.path for video, rows in zip(videos, found, strict=True) if len(rows) > 1]
    refuse(unclear, "listed videos match several files", "keep one of each")
    times = Counter(rows[0] for rows in found if rows)
    shared = [files[row] for row in sorted(times) if times[row] > 1]
    refuse(shared, "files are each listed several times", "list each video once")
    pairs = list(zip(videos, found, strict=True))
    return (
        tuple(replace(video, path=files[rows[0]]) for video, rows in pairs if rows),
        [video.path for video, rows in pairs if not rows],
    )
