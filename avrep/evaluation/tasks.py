"""What a measurement asks: which catalogue rows train a probe, which test it, and what they are."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from avrep.errors import ConfigError
from avrep.evaluation.action.path_lists import read_list_split
from avrep.evaluation.action.split import ActionSplit, GroupScope, match_keys
from avrep.evaluation.action.ucf101 import group_of, read_ucf101
from avrep.evaluation.action.ucf101_folder import has_official_classes, require_official_sizes
from avrep.evaluation.draws import Draw, generator
from avrep.evaluation.features_table import FeatureTable, Vectors
from avrep.evaluation.holdout import hold_out
from avrep.evaluation.results import Task
from avrep.media.catalog import Catalog
from avrep.types import RowNumbers

SPLIT_LABEL = "split"
_TEST_FRACTION = 0.25
_SPLIT_SEED = 0
_MAX_CLASSES_SHARE = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskItems:
    """The items of one task, by catalogue row."""

    task: Task
    train: RowNumbers
    test: RowNumbers
    label_sets: Mapping[str, Mapping[int, str]] = field(repr=False)
    """Label set -> row -> class; empty when nothing is labelled."""
    groups: Mapping[int, str | None] | None = field(default=None, repr=False)
    group_scope: GroupScope = "class"
    fold: int | None = None
    own_name: str = ""
    """What other data in this task's layout are called; empty for the official ones."""

    @property
    def name(self) -> str:
        return self.task if self.fold is None else f"{self.task}-fold{self.fold}"

    def table(self, rows: Sequence[int], keys: Sequence[str], features: Vectors) -> FeatureTable:
        """The features of some rows with what the task knows of them."""
        return FeatureTable(
            keys=tuple(keys),
            features=features,
            labels={
                name: tuple(class_of[row] for row in rows)
                for name, class_of in self.label_sets.items()
                if all(row in class_of for row in rows)
            },
            groups=None if self.groups is None else tuple(self.groups[row] for row in rows),
            group_scope=self.group_scope,
        )


def catalog_task(catalog: Catalog, rows: RowNumbers) -> TaskItems:
    """The catalogue's own labels: every label set that a probe can be asked for.

    Items are split by their label `split` (train and test) where they have it; else by a draw that
    holds a quarter of each class out, whole groups (gNN in the name) at a time; the same corpus is
    always split the same way, so that runs can be compared. A label set counts when at least two
    classes occur, each on both sides, and its values repeat.

    Args:
        catalog: what was indexed.
        rows: the rows with pictures.
    """
    items = {int(row): catalog[int(row)] for row in rows}
    names = sorted({name for item in items.values() for name in item.labels} - {SPLIT_LABEL})
    label_sets = {
        name: {row: item.labels[name] for row, item in items.items() if name in item.labels}
        for name in names
    }
    splits = {row: item.labels.get(SPLIT_LABEL) for row, item in items.items()}
    groups = {row: group_of(item.key) for row, item in items.items()}
    if {"train", "test"} <= set(splits.values()):
        train = [row for row, split in splits.items() if split == "train"]
        test = [row for row, split in splits.items() if split == "test"]
    else:
        classes = label_sets.get("class", {})
        strata = [classes.get(row, "") for row in items]
        draw = generator(_SPLIT_SEED, Draw.FOLDER_SPLIT)
        held = hold_out(strata, list(groups.values()), _TEST_FRACTION, draw)
        train = [row for row, out in zip(items, held, strict=True) if not out]
        test = [row for row, out in zip(items, held, strict=True) if out]
    if not train or not test:
        raise ConfigError(
            f"{catalog.path}: {len(train)} items to train a probe and {len(test)} to test it; "
            "at least one of each is needed"
        )
    return TaskItems(
        task="catalog",
        train=np.array(train, np.int64),
        test=np.array(test, np.int64),
        label_sets={
            name: classes
            for name, classes in label_sets.items()
            if _can_be_asked(classes, train, test)
        },
        groups=groups if any(groups.values()) else None,
    )


def split_files_task(
    catalog: Catalog, splits_dir: Path, fold: int, group_scope: GroupScope = "class"
) -> TaskItems:
    """A split given as files: UCF101's layout, or `train.csv` and `test.csv` of `path label`.

    Args:
        catalog: what was indexed; its keys end in the paths that the files list.
        splits_dir: folder of UCF101's classInd.txt and lists, or of train.csv and test.csv with one
            video a line and labels from 0, as VideoMAE and V-JEPA have them.
        fold: which of UCF101's splits, from 1.
        group_scope: what videos of one gNN share: within a class one recording, as in UCF101; or
            across classes one source, a person for instance.

    Raises:
        ConfigError: neither kind of file is there; or see `read_ucf101`, `read_list_split` and
            `match_keys`.
    """
    lists = splits_dir / "train.csv", splits_dir / "test.csv"
    task: Task = "lists"
    has_folds = (splits_dir / "classInd.txt").is_file()
    if has_folds:
        split = read_ucf101(None, splits_dir, fold, group_scope=group_scope)
        require_official_sizes(split, splits_dir, fold)
        if has_official_classes(split):
            task = "ucf101"
    elif all(path.is_file() for path in lists):
        split = read_list_split(*lists)
    else:
        raise ConfigError(
            f"{splits_dir} holds neither UCF101's classInd.txt and lists nor train.csv and test.csv"
        )
    train, test = match_keys(split, catalog.keys())
    return TaskItems(
        task=task,
        train=train,
        test=test,
        label_sets={"class": _classes(split, train, test)},
        groups={
            int(row): video.group
            for row, video in zip((*train, *test), (*split.train, *split.test), strict=True)
        },
        group_scope=split.group_scope,
        fold=fold if has_folds else None,
    )


def _classes(split: ActionSplit, train: RowNumbers, test: RowNumbers) -> dict[int, str]:
    videos = (*split.train, *split.test)
    return {
        int(row): split.class_names[video.label]
        for row, video in zip((*train, *test), videos, strict=True)
    }


def _can_be_asked(class_of: Mapping[int, str], train: list[int], test: list[int]) -> bool:
    if not all(row in class_of for row in (*train, *test)):
        return False
    shown, asked = Counter(class_of[row] for row in train), {class_of[row] for row in test}
    return (
        len(shown) >= 2 and asked <= shown.keys() and len(shown) <= _MAX_CLASSES_SHARE * len(train)
    )
