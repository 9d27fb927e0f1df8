"""Which videos are trained on, chosen on and asked: by whole groups, and told of by a digest."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from avrep.errors import ConfigError
from avrep.evaluation.tasks import TaskItems
from avrep.media.catalog import Catalog, write_catalog
from avrep.recognition.data import TaskVideos, data_facts, labelled_rows, read_digest, training_plan
from avrep.types import MediaItem

# Rows 0 to 39 train: two classes, five groups of each with four videos; rows 40 to 47 test.
CLASSES = {row: "ab"[row % 2] for row in range(48)}
GROUPS: Mapping[int, str | None] = {row: f"g{row // 8:02d}" for row in range(48)}


def make_task(classes: Mapping[int, str] = CLASSES) -> TaskItems:
    return TaskItems(
        task="ucf101",
        train=np.arange(40),
        test=np.arange(40, 48),
        label_sets={"class": classes},
        groups=GROUPS,
        fold=2,
    )


def test_groups_are_held_out_whole_and_every_class_keeps_its_share() -> None:
    rows = labelled_rows(make_task(), "class", validation_fraction=0.2, seed=0)
    fit, valid = ({GROUPS[row] for row in part.tolist()} for part in (rows.fit, rows.valid))
    assert not fit & valid
    assert rows.num_valid_groups == len(valid) == 1
    assert sorted([*rows.fit.tolist(), *rows.valid.tolist()]) == list(range(40))
    assert np.bincount(rows.labels(rows.valid)).tolist() == [4, 4]
    assert rows.class_names == ("a", "b")
    assert rows.labels(rows.test) == [0, 1] * 4


def test_the_seed_decides_which_and_nothing_may_be_held_out() -> None:
    chosen = {
        tuple(labelled_rows(make_task(), "class", validation_fraction=0.2, seed=seed).valid)
        for seed in range(6)
    }
    assert len(chosen) > 1
    rows = labelled_rows(make_task(), "class", validation_fraction=None, seed=0)
    assert len(rows.valid) == rows.num_valid_groups == 0
    assert rows.fit.tolist() == list(range(40))
    assert rows.notes(None, "the last epoch") == ()
    (note,) = rows.notes(0.1, "the last epoch")
    assert note.endswith("spared to choose on: the last epoch is tested")


@pytest.mark.parametrize(
    ("label", "classes", "told"),
    [
        ("motion", CLASSES, "no label set 'motion'; it has class"),
        ("class", dict.fromkeys(range(48), "a"), "at least 2 classes of train videos, found 1"),
        ("class", CLASSES | {47: "c"}, "1 test classes have no train video, 'c' for one"),
    ],
)
def test_tasks_that_cannot_be_learnt(label: str, classes: Mapping[int, str], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        labelled_rows(make_task(classes), label, validation_fraction=None, seed=0)


def test_a_batch_has_at_most_all_clips() -> None:
    rows = labelled_rows(make_task(), "class", validation_fraction=None, seed=0)
    assert training_plan(rows, 80, 2, 0).steps_per_epoch == 1
    with pytest.raises(ConfigError, match="batch_size is 41, but there are 40 clips"):
        training_plan(rows, 41, 1, 0)


def test_the_digest_tells_of_parts_and_classes(tmp_path: Path) -> None:
    items = [
        MediaItem(key=f"{row}.avi", shard="s", offset_bytes=0, length_bytes=1, duration_s=1.0)
        for row in range(48)
    ]
    write_catalog(tmp_path / "c.parquet", items, "")
    catalog = Catalog.open(tmp_path / "c.parquet")

    def facts(classes: Mapping[int, str], fraction: float | None, seed: int = 0) -> str:
        task = make_task(classes)
        rows = labelled_rows(task, "class", validation_fraction=fraction, seed=seed)
        found = data_facts(TaskVideos(catalog=catalog, task=task), rows)
        assert (found.name, found.part, found.num_test) == ("ucf101", "split 2", 8)
        assert found.num_train + found.num_valid == 40
        plan = training_plan(rows, 4, 1, 0)
        read.append(read_digest(TaskVideos(catalog=catalog, task=task), rows, plan))
        return found.digest

    read: list[str] = []
    same = facts(CLASSES, 0.2)
    assert facts(dict(CLASSES), 0.2) == same
    assert len({same, facts(CLASSES, None), facts(CLASSES | {3: "a"}, 0.2)}) == 3
    # So does that of what is read.
    assert read[0] == read[1]
    assert len(set(read)) == 3
