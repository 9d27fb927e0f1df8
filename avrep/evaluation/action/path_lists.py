"""Splits given as two plain lists of `path label`, one video a line."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from avrep.errors import ConfigError
from avrep.evaluation.action.lists import is_label, read_lines, refuse
from avrep.evaluation.action.split import ActionSplit, LabelledVideo
from avrep.evaluation.action.ucf101 import group_of


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
