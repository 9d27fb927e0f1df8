"""UCF101's two archives unpacked below one folder: where the lists and the videos are."""

from pathlib import Path

from avrep.errors import ConfigError
from avrep.evaluation.action.data import ActionData, data_on_disk
from avrep.evaluation.action.on_disk import find_folder, misplaced
from avrep.evaluation.action.split import ActionSplit, GroupScope
from avrep.evaluation.action.ucf101 import NUM_FOLDS, read_ucf101

OFFICIAL_SIZES = ((9537, 3783), (9586, 3734), (9624, 3696))
"""Train and test videos of each split."""
_OFFICIAL_CLASSES = 101
_LAYOUT = """
├── UCF-101
│   ├── ApplyEyeMakeup
│   │   └── v_ApplyEyeMakeup_g01_c01.avi ...
│   └── ApplyLipstick ...
└── ucfTrainTestlist
    ├── classInd.txt
    ├── trainlist01.txt ...
    └── testlist01.txt ...
"""


def find_ucf101(
    root: Path,
    fold: int,
    *,
    group_scope: GroupScope = "class",
    allow_missing: bool = False,
) -> ActionData:
    """One split of UCF101, or of a corpus laid out like it.

    Raises:
        ConfigError: lists or videos are not there; lists of 101 classes that have another number
            of videos than the published ones; see `read_ucf101` and `data_on_disk`.
    """
    splits_dir = find_folder(root, lambda folder: (folder / "classInd.txt").is_file())
    if splits_dir is None:
        raise misplaced("ucf101", root, "no classInd.txt", _LAYOUT)
    split = read_ucf101(None, splits_dir, fold, group_scope=group_scope)
    require_official_sizes(split, splits_dir, fold)
    names = {name.casefold() for name in split.class_names}
    videos_dir = find_folder(
        root,
        lambda folder: any(e.name.casefold() in names for e in folder.iterdir() if e.is_dir()),
    )
    if videos_dir is None:
        raise misplaced("ucf101", root, "no folder of class folders", _LAYOUT)
    is_official = has_official_classes(split)
    notes = [] if is_official else [f"{len(names)} classes: not UCF101's own lists"]
    return data_on_disk(
        "ucf101",
        split,
        videos_dir,
        fold=fold,
        num_folds=NUM_FOLDS,
        own_name="" if is_official else root.resolve().name,
        notes=notes,
        allow_missing=allow_missing,
    )


def has_official_classes(split: ActionSplit) -> bool:
    """Whether the lists may be UCF101's own: those of other data in its layout have other classes."""
    return len(split.class_names) == _OFFICIAL_CLASSES


def require_official_sizes(split: ActionSplit, splits_dir: Path, fold: int) -> None:
    """Refuse lists of 101 classes that were cut short or changed; others may have any size."""
    sizes = (len(split.train), len(split.test))
    if has_official_classes(split) and sizes != OFFICIAL_SIZES[fold - 1]:
        wanted = OFFICIAL_SIZES[fold - 1]
        raise ConfigError(
            f"{splits_dir}: split {fold} lists {sizes[0]} train and {sizes[1]} test videos, the "
            f"published lists {wanted[0]} and {wanted[1]}. Mend: fetch them again"
        )
