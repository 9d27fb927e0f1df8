"""Kinetics as it comes off the archive, and lists of `path label` as VideoMAE and MAE-ST have them.

    <root>/annotations/train.csv    label,youtube_id,time_start,time_end,split
                                    abseiling,0347ZoDXyP0,95,105,train
    <root>/train/[abseiling/]0347ZoDXyP0_000095_000105.mp4

CVDF's archives put a side's videos into one folder, and its script arranges them in class folders;
either is read, since a video is known by the name of its file. A file below a folder `replacement`
takes the place of one of the same name. Or, for any data set:

    <root>/train.csv                some/folder/a.mp4 3
"""

import csv
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

from avrep.errors import ConfigError
from avrep.evaluation.action.data import ActionData, data_on_disk
from avrep.evaluation.action.lists import counted, read_lines, refuse
from avrep.evaluation.action.on_disk import find_file, media_below, misplaced
from avrep.evaluation.action.path_lists import read_list_split
from avrep.evaluation.action.split import ActionSplit, LabelledVideo

_COLUMNS = ("label", "youtube_id", "time_start", "time_end")
_OFFICIAL_CLASSES = (400, 600, 700)
_TEST_ENDINGS = ("val.csv", "validate.csv", "validation.csv", "test.csv")
_LAYOUT = """
├── annotations
│   ├── train.csv         label,youtube_id,time_start,time_end,split   or   path label
│   └── val.csv
├── train
│   └── abseiling
│       └── 0347ZoDXyP0_000095_000105.mp4 ...
└── val
    └── abseiling ...
"""


def find_kinetics(root: Path, *, allow_missing: bool = False) -> ActionData:
    """Train on train.csv, test on val.csv (or test.csv, where there is no other).

    Raises:
        ConfigError: no such lists or no videos; see `read_kinetics`, `read_list_split` and
            `data_on_disk`. Clips that have left YouTube are missing from every copy of Kinetics:
            see `allow_missing`; the result says how many.
    """
    lists = find_file(root, "train.csv"), find_file(root, *_TEST_ENDINGS)
    if lists[0] is None or lists[1] is None:
        absent = "train.csv" if lists[0] is None else "val.csv"
        raise misplaced("kinetics", root, f"no {absent}", _LAYOUT)
    files = _without_replaced(root, media_below(root))
    if not files:
        raise misplaced("kinetics", root, "no videos", _LAYOUT)
    train_list, test_list = lists[0], lists[1]
    notes = [f"tested on {test_list.name}"]
    if is_kinetics_table(train_list):
        split = read_kinetics(train_list, test_list)
        straddling = split.straddling_groups()
        if straddling:
            notes.append(counted(straddling, "YouTube videos are on both sides of the lists"))
    else:
        split = read_list_split(train_list, test_list)
    own_name = ""
    if len(split.class_names) not in _OFFICIAL_CLASSES:
        own_name = root.resolve().name
        notes.append(f"{len(split.class_names)} classes: not Kinetics-400, 600 or 700")
    return data_on_disk(
        "kinetics",
        split,
        root,
        own_name=own_name,
        notes=notes,
        allow_missing=allow_missing,
        files=files,
    )


def is_kinetics_table(path: Path) -> bool:
    """Whether a list begins with the columns of Kinetics' tables."""
    first = next((line for _, line in read_lines(path)), "")
    return set(_COLUMNS) <= {name.strip() for name in first.split(",")}


def read_kinetics(train_table: Path, test_table: Path) -> ActionSplit:
    """Read two tables of Kinetics; classes are numbered in the order of their names.

    A group is a YouTube video, across classes.

    Raises:
        ConfigError: a table without the columns, a row without a label or a time, a clip listed
            twice, or a test class that no train clip has.
    """
    sides = [_read_table(table) for table in (train_table, test_table)]
    names = tuple(sorted({label for label, _, _ in sides[0]}))
    unknown = sorted({label for label, _, _ in sides[1]} - set(names))
    refuse(unknown, f"classes of {test_table.name} are not in {train_table.name}", "fetch both")
    times = Counter(name for side in sides for _, name, _ in side)
    repeats = [name for name, count in times.items() if count > 1]
    refuse(repeats, "clips are listed twice", "list each clip once")
    label_of = {name: label for label, name in enumerate(names)}
    train, test = (
        tuple(
            LabelledVideo(path=name, label=label_of[label], group=source)
            for label, name, source in side
        )
        for side in sides
    )
    return ActionSplit(class_names=names, train=train, test=test, group_scope="corpus")


def _read_table(path: Path) -> list[tuple[str, str, str]]:
    """(class, file, YouTube id) of each row."""
    lines = [line for _, line in read_lines(path)]
    table = csv.DictReader(lines)
    absent = [name for name in _COLUMNS if name not in (table.fieldnames or ())]
    if absent:
        raise ConfigError(f"{path.name}: no column {absent[0]}; want {','.join(_COLUMNS)},split")
    rows = []
    for number, row in enumerate(table, start=2):
        source, label = (row["youtube_id"] or "").strip(), (row["label"] or "").strip()
        try:
            start_s, end_s = (int(float(row[name])) for name in ("time_start", "time_end"))
        except (TypeError, ValueError):
            raise ConfigError(f"{path.name}:{number}: want times in seconds, got {row}") from None
        if not source or not label or "/" in source:
            raise ConfigError(f"{path.name}:{number}: no label or no YouTube id in {row}")
        rows.append((label, f"{source}_{start_s:06d}_{end_s:06d}.mp4", source))
    if not rows:
        raise ConfigError(f"{path.name} lists no videos")
    return rows


def _without_replaced(root: Path, files: Sequence[str]) -> tuple[str, ...]:
    """The files without those that others stand for: a replacement, or a link's target."""
    by_name: defaultdict[str, list[str]] = defaultdict(list)
    for file in files:
        by_name[file.rpartition("/")[2].casefold()].append(file)
    kept = []
    for same in by_name.values():
        better = [file for file in same if "replacement" in file.casefold().split("/")] or same
        if len(better) > 1:
            targets = {(root / file).resolve(): file for file in reversed(better)}
            better = sorted(targets.values())
        kept += better
    return tuple(sorted(kept))
