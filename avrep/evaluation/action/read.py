"""Which reader a task has: one call from a task's name and a folder to its data."""

from pathlib import Path

from avrep.errors import ConfigError
from avrep.evaluation.action.class_folders import find_class_folders
from avrep.evaluation.action.data import ActionData, ActionTask
from avrep.evaluation.action.hmdb51 import NUM_FOLDS as HMDB51_FOLDS
from avrep.evaluation.action.hmdb51 import find_hmdb51
from avrep.evaluation.action.kinetics import find_kinetics
from avrep.evaluation.action.split import GroupScope
from avrep.evaluation.action.ssv2 import find_ssv2
from avrep.evaluation.action.ucf101 import NUM_FOLDS as UCF101_FOLDS
from avrep.evaluation.action.ucf101_folder import find_ucf101

ACTION_FOLDS: dict[ActionTask, int] = {
    "ucf101": UCF101_FOLDS,
    "hmdb51": HMDB51_FOLDS,
    "kinetics": 1,
    "ssv2": 1,
    "video_folder": 1,
}
"""The tasks, and how many splits each has."""


def read_action_data(
    root: Path | str,
    task: ActionTask,
    fold: int = 1,
    *,
    group_scope: GroupScope = "class",
    allow_missing: bool = False,
) -> ActionData:
    """Read one split of a data set in its official layout, found anywhere below the root.

    Args:
        root: the folder that the archives were unpacked in.
        task: which data set; "video_folder" is any folder of class folders.
        fold: which of its splits, from 1.
        group_scope: what a group's name gNN means, see `GroupScope`; of `ucf101` and `video_folder`.
        allow_missing: leave out listed videos that are not there. A note says how many and which:
            a result on fewer videos is another result.

    Raises:
        ConfigError: no such folder, task or split; the data set is not below it, or is laid out
            otherwise, with the tree that was expected; its lists are not the published ones; or
            videos are missing.
    """
    root = Path(root)
    if not root.is_dir():
        raise ConfigError(f"{task}: no folder {root}. Mend: give the data set's own by --root")
    if task not in ACTION_FOLDS:
        raise ConfigError(f"no task {task!r}. Known: {', '.join(ACTION_FOLDS)}")
    if not 1 <= fold <= ACTION_FOLDS[task]:
        raise ConfigError(f"{task} has no split {fold}; it has 1 to {ACTION_FOLDS[task]}")
    match task:
        case "ucf101":
            return find_ucf101(root, fold, group_scope=group_scope, allow_missing=allow_missing)
        case "hmdb51":
            return find_hmdb51(root, fold, allow_missing=allow_missing)
        case "kinetics":
            return find_kinetics(root, allow_missing=allow_missing)
        case "ssv2":
            return find_ssv2(root, allow_missing=allow_missing)
        case "video_folder":
            return find_class_folders(root, group_scope)
