"""UCF101's official layout: class folders of videos, and text files that list three splits.

    <videos>/HandstandPushups/v_HandStandPushups_g08_c01.avi
    <splits>/classInd.txt       37 HandstandPushups                     labels count from 1
    <splits>/trainlist01.txt    HandstandPushups/v_HandStandPushups_g08_c01.avi 37
    <splits>/testlist01.txt     HandstandPushups/v_HandStandPushups_g01_c01.avi

Videos of one class and one group gNN were cut from one long recording; the data set's page asks
that a group stay on one side, and the three official splits keep every gNN, of all classes, on
one side (tested). Any corpus laid out this way can be read.
"""

import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from avrep.errors import ConfigError
from avrep.evaluation.action.lists import is_label, read_lines, refuse
from avrep.evaluation.action.split import ActionSplit, GroupScope, LabelledVideo

NUM_FOLDS = 3
_GROUP = re.compile(r"_g(\d+)_c\d+$", re.IGNORECASE)


def read_ucf101(
    videos_dir: Path | None,
    splits_dir: Path,
    fold: int,
    *,
    group_scope: GroupScope = "class",
    allow_straddling: bool = False,
) -> ActionSplit:
    """Read one official split, and refuse what would spoil a measurement.

    Tolerated: CRLF line ends, a byte order mark, stray spaces, blank lines, backslashes in paths,
    labels in a test list, and names that differ from the disk's in case only.

    Args:
        videos_dir: folder of class folders, to check every listed video and to take the names'
            case from; None reads the lists alone (the videos are elsewhere: see `match_keys`).
        splits_dir: folder of classInd.txt, trainlist0N.txt and testlist0N.txt.
        fold: N, from 1.
        group_scope: "corpus" when gNN is one source in all classes (a person, for one).
        allow_straddling: accept groups that have videos in both lists.

    Raises:
        ConfigError: a missing or malformed file; a label that disagrees with its folder; a video
            listed twice, or missing on disk; a group on both sides.
    """
    class_names = _read_classes(splits_dir / "classInd.txt")
    train = _read_list(splits_dir / f"trainlist{fold:02d}.txt", class_names, labelled=True)
    test = _read_list(splits_dir / f"testlist{fold:02d}.txt", class_names, labelled=False)
    _refuse_repeats(train, test)
    if videos_dir is not None:
        both = _as_on_disk(videos_dir, (*train, *test))
        train, test = both[: len(train)], both[len(train) :]
    split = ActionSplit(class_names=class_names, train=train, test=test, group_scope=group_scope)
    if not allow_straddling:
        refuse(
            split.straddling_groups(),
            f"groups are in both lists of fold {fold}, so the test leaks",
            "keep each group on one side, or allow straddling groups",
        )
    return split


def group_of(path: str) -> str | None:
    """Group in a file name: "g08" of `v_Archery_g8_c01.avi`; None where there is none."""
    found = _GROUP.search(path.rpartition("/")[2].rpartition(".")[0])
    return f"g{int(found[1]):02d}" if found else None


def _read_classes(path: Path) -> tuple[str, ...]:
    """Class names in label order; the file's labels must be 1 to the number of classes."""
    names: dict[int, str] = {}
    for where, line in read_lines(path):
        label, _, name = line.partition(" ")
        if not is_label(label) or not name.strip():
            raise ConfigError(f"{where}: want '<label from 1> <class>', got {line!r}")
        if names.setdefault(int(label), name.strip()) != name.strip():
            raise ConfigError(f"{where}: label {label} names two classes")
    if not names or sorted(names) != list(range(1, len(names) + 1)):
        raise ConfigError(f"{path.name}: labels must be 1 to the number of classes ({len(names)})")
    ordered = tuple(names[label] for label in sorted(names))
    if len({name.casefold() for name in ordered}) != len(ordered):
        raise ConfigError(f"{path.name}: two labels name the same class")
    return ordered


def _read_list(
    path: Path, class_names: Sequence[str], *, labelled: bool
) -> tuple[LabelledVideo, ...]:
    label_of = {name.casefold(): label for label, name in enumerate(class_names)}
    videos = []
    for where, line in read_lines(path):
        listed, given = _split_label(line)
        parts = listed.split("/")
        if len(parts) != 2 or not all(parts) or ".." in parts:
            raise ConfigError(f"{where}: want '<class folder>/<file>', got {listed!r}")
        label = label_of.get(parts[0].casefold())
        if label is None:
            raise ConfigError(f"{where}: folder {parts[0]!r} is no class of classInd.txt")
        if given is None and labelled:
            raise ConfigError(f"{where}: a train list gives each video's label, from 1")
        if given is not None and given != label + 1:
            raise ConfigError(
                f"{where}: label {given}, but folder {parts[0]!r} is label {label + 1} "
                "of classInd.txt (labels count from 1)"
            )
        videos.append(LabelledVideo(path=listed, label=label, group=group_of(listed)))
    if not videos:
        raise ConfigError(f"{path.name} lists no videos")
    return tuple(videos)


def _split_label(line: str) -> tuple[str, int | None]:
    """The path of a line, with forward slashes, and its label if it has one."""
    head, *tail = line.rsplit(maxsplit=1)
    if tail and is_label(tail[0]):
        return head.replace("\\", "/"), int(tail[0])
    return line.replace("\\", "/"), None


def _refuse_repeats(train: Sequence[LabelledVideo], test: Sequence[LabelledVideo]) -> None:
    seen: set[str] = set()
    repeats = []
    for video in (*train, *test):
        name = video.path.casefold()
        if name in seen:
            repeats.append(video.path)
        seen.add(name)
    refuse(repeats, "videos are listed twice", "list each video once, in one of the two lists")


def _as_on_disk(videos_dir: Path, videos: Sequence[LabelledVideo]) -> tuple[LabelledVideo, ...]:
    """The same videos under the names that the disk gives them."""
    if not videos_dir.is_dir():
        raise ConfigError(
            f"no folder {videos_dir}. Mend: give the folder of UCF101's class folders"
        )
    on_disk: defaultdict[str, list[str]] = defaultdict(list)
    for folder in sorted(entry for entry in videos_dir.iterdir() if entry.is_dir()):
        for file in sorted(entry for entry in folder.iterdir() if entry.is_file()):
            name = f"{folder.name}/{file.name}"
            on_disk[name.casefold()].append(name)
    found = [on_disk.get(video.path.casefold(), []) for video in videos]
    missing = [video.path for video, names in zip(videos, found, strict=True) if not names]
    refuse(missing, f"of {len(videos)} listed videos are not in {videos_dir}", "fetch them")
    named = []
    unclear = []
    for video, names in zip(videos, found, strict=True):
        name = video.path if video.path in names else names[0]
        if len(names) > 1 and name != video.path:
            unclear.append(video.path)
        named.append(LabelledVideo(path=name, label=video.label, group=video.group))
    refuse(unclear, "listed videos match several files that differ in case", "keep one of each")
    return tuple(named)
