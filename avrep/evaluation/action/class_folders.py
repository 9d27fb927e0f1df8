"""A plain folder of classes: each folder's name is the class of the videos in it.

<root>/train/Run/a.mp4      or, without sides of its own,      <root>/Run/a.mp4
<root>/test/Run/b.mp4
"""

from pathlib import Path

import numpy as np

from avrep.errors import ConfigError
from avrep.evaluation.action.data import ActionData, data_on_disk
from avrep.evaluation.action.lists import refuse
from avrep.evaluation.action.on_disk import media_below, misplaced
from avrep.evaluation.action.split import ActionSplit, GroupScope, LabelledVideo
from avrep.evaluation.action.ucf101 import group_of
from avrep.evaluation.draws import Draw, generator
from avrep.evaluation.holdout import hold_out

_TEST_FRACTION = 0.25
_SPLIT_SEED = 0
_TEST_FOLDERS = ("test", "val", "validation", "valid")
_LAYOUT = """
├── train                 or the class folders alone, of which avrep draws a test part
│   ├── Run
│   │   └── a.mp4 ...
│   └── Walk ...
└── test
    ├── Run ...
    └── Walk ...
"""


def find_class_folders(root: Path, group_scope: GroupScope = "class") -> ActionData:
    """The split that the folders `train` and `test` (or `val`) make, or one that is drawn.

    The drawn one holds a quarter of each class out, whole groups (gNN in the name) at a time, and
    is the same for the same files.

    Raises:
        ConfigError: fewer than two classes, a test class without a train video, or groups on both
            sides.
    """
    files = media_below(root)
    sided = [(path.split("/")[0].casefold(), path) for path in files]
    tested = next((name for name in _TEST_FOLDERS if any(side == name for side, _ in sided)), None)
    notes: list[str] = []
    if tested and any(side == "train" for side, _ in sided):
        train = [path for side, path in sided if side == "train"]
        test = [path for side, path in sided if side == tested]
    else:
        train, test = _drawn(root, files)
        notes.append("the split is avrep's own draw: 25 % of each class, whole groups")
    names = tuple(sorted({_class_of(path) for path in train}))
    if len(names) < 2 or not test:
        raise misplaced(
            "video_folder", root, "no two classes with videos to train and test on", _LAYOUT
        )
    unknown = sorted({_class_of(path) for path in test} - set(names))
    refuse(unknown, "test classes have no train video", "add some, or take the class out")
    sides = [
        tuple(
            LabelledVideo(path=path, label=names.index(_class_of(path)), group=group_of(path))
            for path in side
        )
        for side in (train, test)
    ]
    split = ActionSplit(class_names=names, train=sides[0], test=sides[1], group_scope=group_scope)
    refuse(split.straddling_groups(), "groups are on both sides", "keep each group on one side")
    return data_on_disk(
        "video_folder", split, root, own_name=root.resolve().name, notes=notes, files=files
    )


def _class_of(path: str) -> str:
    return path.split("/")[-2]


def _drawn(root: Path, files: tuple[str, ...]) -> tuple[list[str], list[str]]:
    loose = [path for path in files if "/" not in path]
    refuse(loose, f"videos lie in {root} itself", "put each into the folder of its class")
    if not files:
        raise ConfigError(f"folder: no videos below {root}. Expected:\n{root}\n{_LAYOUT.strip()}")
    held = hold_out(
        [_class_of(path) for path in files],
        [group_of(path) for path in files],
        _TEST_FRACTION,
        generator(_SPLIT_SEED, Draw.FOLDER_SPLIT),
    )
    chosen = np.flatnonzero(held).tolist()
    return [path for path, out in zip(files, held, strict=True) if not out], [
        files[row] for row in chosen
    ]
