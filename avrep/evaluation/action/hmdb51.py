"""HMDB51's official layout: class folders of videos, and a text file for each class and split.

    <videos>/brush_hair/April_09_brush_hair_u_nm_np1_ba_goo_0.avi
    <splits>/brush_hair_test_split1.txt     April_09_brush_hair_u_nm_np1_ba_goo_0.avi 1

1 trains, 2 tests, 0 is unused. What stands before the class in a file's name is the source that
the clip was cut from; the published splits keep every source of a class on one side (tested).
"""

from collections import Counter
from pathlib import Path

from avrep.errors import ConfigError
from avrep.evaluation.action.data import ActionData, data_on_disk
from avrep.evaluation.action.lists import read_lines, refuse
from avrep.evaluation.action.on_disk import find_folder, misplaced
from avrep.evaluation.action.split import ActionSplit, LabelledVideo

NUM_FOLDS = 3
OFFICIAL_SIZES = (3570, 1530)
"""Train and test videos of each split."""
_OFFICIAL_CLASSES = 51
_SIDES = {"0": None, "1": "train", "2": "test"}
_LAYOUT = """
├── hmdb51_org
│   ├── brush_hair
│   │   └── April_09_brush_hair_u_nm_np1_ba_goo_0.avi ...
│   └── cartwheel ...
└── testTestMulti_7030_splits
    ├── brush_hair_test_split1.txt
    ├── brush_hair_test_split2.txt
    └── brush_hair_test_split3.txt ...
"""


def find_hmdb51(root: Path, fold: int, *, allow_missing: bool = False) -> ActionData:
    """One split of HMDB51, videos and lists wherever they are below the root.

    The archives pack each class in an archive of its own; unpack all of them.

    Raises:
        ConfigError: lists or videos are not there; see `read_hmdb51` and `data_on_disk`.
    """
    splits_dir = find_folder(root, lambda folder: any(folder.glob(f"*{_ending(fold)}")))
    if splits_dir is None:
        raise misplaced("hmdb51", root, f"no <class>{_ending(fold)}", _LAYOUT)
    split = read_hmdb51(splits_dir, fold)
    names = set(split.class_names)
    videos_dir = find_folder(root, lambda folder: any((folder / name).is_dir() for name in names))
    if videos_dir is None:
        raise misplaced("hmdb51", root, "no folder of class folders", _LAYOUT)
    is_official = len(split.class_names) == _OFFICIAL_CLASSES
    notes = [] if is_official else [f"{len(split.class_names)} classes: not HMDB51's own lists"]
    return data_on_disk(
        "hmdb51",
        split,
        videos_dir,
        fold=fold,
        num_folds=NUM_FOLDS,
        own_name="" if is_official else root.resolve().name,
        notes=notes,
        allow_missing=allow_missing,
    )


def read_hmdb51(splits_dir: Path, fold: int) -> ActionSplit:
    """Read one split's lists; classes are numbered in the order of their names.

    Tolerated: CRLF line ends, a byte order mark, trailing spaces, blank lines.

    Raises:
        ConfigError: no such lists; a line that is none; a video listed twice, or a source
            on both sides; or, with 51 classes, another number of videos than the published lists have.
    """
    lists = sorted(splits_dir.glob(f"*{_ending(fold)}"))
    class_names = tuple(path.name.removesuffix(_ending(fold)) for path in lists)
    sides: dict[str, list[LabelledVideo]] = {"train": [], "test": []}
    for label, path in enumerate(lists):
        for where, line in read_lines(path):
            name, _, number = line.rpartition(" ")
            if not name or number not in _SIDES or "/" in name or "\\" in name:
                raise ConfigError(f"{where}: want '<file> <0, 1 or 2>', got {line!r}")
            side = _SIDES[number]
            if side is not None:
                sides[side].append(_video(name.strip(), class_names[label], label))
    for side, videos in sides.items():
        if not videos:
            raise ConfigError(f"{splits_dir}: the lists of split {fold} name no {side} video")
    paths = [video.path.casefold() for videos in sides.values() for video in videos]
    repeats = [path for path, count in Counter(paths).items() if count > 1]
    refuse(repeats, "videos are listed twice", "fetch the lists again")
    sizes = (len(sides["train"]), len(sides["test"]))
    if len(class_names) == _OFFICIAL_CLASSES and sizes != OFFICIAL_SIZES:
        raise ConfigError(
            f"{splits_dir}: split {fold} lists {sizes[0]} train and {sizes[1]} test videos, the "
            f"published lists {OFFICIAL_SIZES[0]} and {OFFICIAL_SIZES[1]}. Mend: fetch them again"
        )
    split = ActionSplit(
        class_names=class_names, train=tuple(sides["train"]), test=tuple(sides["test"])
    )
    refuse(split.straddling_groups(), "sources are on both sides", "keep each on one side")
    return split


def _ending(fold: int) -> str:
    return f"_test_split{fold}.txt"


def _video(name: str, class_name: str, label: int) -> LabelledVideo:
    source, found, _ = name.rpartition(f"_{class_name}_")
    return LabelledVideo(
        path=f"{class_name}/{name}", label=label, group=source if found and source else None
    )
