"""Labels without official lists: from class folders, or from `path label` files."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from avrep.errors import ConfigError
from avrep.evaluation.action.lists import is_label, read_lines, refuse
from avrep.evaluation.action.split import ActionSplit, GroupScope, LabelledVideo
from avrep.evaluation.action.ucf101 import group_of
from avrep.evaluation.draws import Draw, generator
from avrep.evaluation.holdout import hold_out


def split_class_folders(
    keys: Sequence[str],
    *,
    seed: int,
    test_fraction: float = 0.25,
    group_scope: GroupScope = "class",
) -> ActionSplit:
    """Split videos by class folder: the folder that holds a file is its class.

    Class labels follow the alphabetical order of the folders (as Kinetics and HMDB51 do). When
    the names carry UCF101's gNN, groups stay whole, across classes; videos without one stand
    alone. The same keys (in any order), seed and fraction give the same split.

    Args:
        keys: posix paths `.../<class>/<file>`, the keys of a catalogue for one.
        seed: which of the possible splits.
        test_fraction: share of each class to test on, in (0, 1); 0.25 is the avrep default.
        group_scope: see `ActionSplit`.

    Raises:
        ConfigError: a file in no folder, a key twice, fewer than two classes, a bad fraction, or
            a class that cannot have videos on both sides.
    """
    if not 0 < test_fraction < 1:
        raise ConfigError(f"test_fraction must be in (0, 1), got {test_fraction}")
    ordered = sorted(keys)
    repeats = [key for key, after in pairwise(ordered) if key == after]
    refuse(repeats, "keys occur twice", "index one folder of videos once")
    refuse([key for key in ordered if "/" not in key], "videos are in no class folder", "move them")
    folders = [key.split("/")[-2] for key in ordered]
    class_names = tuple(sorted(set(folders)))
    if len(class_names) < 2:
        raise ConfigError(f"want at least 2 class folders, found {len(class_names)}")
    groups = [group_of(key) for key in ordered]
    held = hold_out(folders, groups, test_fraction, generator(seed, Draw.FOLDER_SPLIT))
    tested = {folder for folder, out in zip(folders, held, strict=True) if out}
    refuse(
        [name for name in class_names if name not in tested],
        "classes cannot have videos on both sides of a split",
        "give each class two videos, of two groups where the names tell groups (gNN)",
    )
    label_of = {name: label for label, name in enumerate(class_names)}
    videos = [
        LabelledVideo(path=key, label=label_of[folder], group=group)
        for key, folder, group in zip(ordered, folders, groups, strict=True)
    ]
    return ActionSplit(
        class_names=class_names,
        train=tuple(video for video, out in zip(videos, held, strict=True) if not out),
        test=tuple(video for video, out in zip(videos, held, strict=True) if out),
        group_scope=group_scope,
    )


def read_list_split(
    train_list: Path,
    test_list: Path,
    *,
    class_names: Sequence[str] | None = None,
    separator: str = " ",
) -> ActionSplit:
    """Read two lists of `path label`, one video a line, labels from 0.

    The format of VideoMAE, MAE-ST and V-JEPA (which also knows the separator "::"). The label is
    what follows the last separator, so paths with spaces can be read, which MAE-ST cannot. The
    paths are only ever compared with a catalogue's keys (`match_keys`); nothing is opened by them.

    Args:
        train_list: the videos to train on.
        test_list: the videos to test on.
        class_names: name of each label; None calls label 3 "3".
        separator: what stands between path and label.

    Raises:
        ConfigError: a missing or malformed file, a label outside the classes, a video listed
            twice, or a gNN group in both lists.
    """
    train = _read_list(train_list, separator)
    test = _read_list(test_list, separator)
    paths = sorted(video.path for video in (*train, *test))
    repeats = [path for path, after in pairwise(paths) if path == after]
    refuse(repeats, "videos are listed twice", "list each video once, in one of the two lists")
    num_classes = max(video.label for video in (*train, *test)) + 1
    names = tuple(class_names or (str(label) for label in range(num_classes)))
    if num_classes > len(names):
        raise ConfigError(f"label {num_classes - 1}, but {len(names)} classes: labels count from 0")
    split = ActionSplit(class_names=names, train=train, test=test)
    refuse(split.straddling_groups(), "groups are in both lists", "keep each group on one side")
    return split


def _read_list(path: Path, separator: str) -> tuple[LabelledVideo, ...]:
    videos = []
    for where, line in read_lines(path):
        video, _, label = line.rpartition(separator)
        if not video.strip() or not is_label(label.strip()):
            raise ConfigError(f"{where}: want '<path>{separator}<label from 0>', got {line!r}")
        name = video.strip().replace("\\", "/")
        videos.append(LabelledVideo(path=name, label=int(label), group=group_of(name)))
    if not videos:
        raise ConfigError(f"{path.name} lists no videos")
    return tuple(videos)
