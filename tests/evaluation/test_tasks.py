"""Which items train a probe and which test it: from labels, from split files, from neither."""

from pathlib import Path

import numpy as np
import pytest

from avrep.errors import ConfigError
from avrep.evaluation.tasks import catalog_task, split_files_task
from avrep.media.catalog import Catalog, write_catalog
from avrep.types import MediaItem, VideoStream

VIDEO = VideoStream(width_px=64, height_px=48, fps=24.0, num_frames=48, codec="h264")


def make_catalog(path: Path, labels: dict[str, dict[str, str]]) -> Catalog:
    items = [
        MediaItem(
            key=key,
            shard=key,
            offset_bytes=0,
            length_bytes=1,
            duration_s=2.0,
            video=VIDEO,
            labels=labels[key],
        )
        for key in labels
    ]
    write_catalog(path, items, "")
    return Catalog.open(path)


def rows_of(catalog: Catalog) -> np.ndarray:
    return catalog.rows_with(video=True)


def test_the_synthetic_corpus_has_its_own_split_and_label_sets(synth_catalog: Catalog) -> None:
    task = catalog_task(synth_catalog, rows_of(synth_catalog))
    assert (len(task.train), len(task.test)) == (16, 8)
    assert {synth_catalog[int(row)].labels["split"] for row in task.train} == {"train"}
    assert {synth_catalog[int(row)].labels["split"] for row in task.test} == {"test"}
    assert "speed" in task.label_sets
    assert "split" not in task.label_sets
    row = int(task.test[2])
    assert task.label_sets["speed"][row] == synth_catalog[row].labels["speed"]


def test_class_folders_are_split_by_whole_groups(tmp_path: Path) -> None:
    keys = {
        f"{name}/v_{name}_g{group:02d}_c{clip:02d}.avi": {"class": name}
        for name in ("Jump", "Run")
        for group in range(1, 9)
        for clip in (1, 2)
    }
    catalog = make_catalog(tmp_path / "c.parquet", keys)
    task = catalog_task(catalog, rows_of(catalog))
    assert sorted([*task.train, *task.test]) == list(range(32))
    assert 4 <= len(task.test) <= 12
    assert task.groups is not None
    sides = [{task.groups[int(row)] for row in side} for side in (task.train, task.test)]
    assert not sides[0] & sides[1]
    again = catalog_task(catalog, rows_of(catalog))
    assert list(again.test) == list(task.test)


def test_no_labels_leaves_no_label_sets_but_a_split(tmp_path: Path) -> None:
    catalog = make_catalog(tmp_path / "c.parquet", {f"{i}.mp4": {} for i in range(20)})
    task = catalog_task(catalog, rows_of(catalog))
    assert task.label_sets == {}
    assert len(task.test) == 5
    assert not set(task.train.tolist()) & set(task.test.tolist())


def test_label_sets_that_nothing_can_be_asked_of_are_left_out(tmp_path: Path) -> None:
    keys = {
        f"{i}.mp4": {
            "split": "train" if i < 8 else "test",
            "constant": "a",
            "unique": str(i),
            "good": "ab"[i % 2],
            "unseen": "x" if i < 8 else "y",
            **({"partial": "ab"[i % 2]} if i else {}),
        }
        for i in range(12)
    }
    catalog = make_catalog(tmp_path / "c.parquet", keys)
    task = catalog_task(catalog, rows_of(catalog))
    assert set(task.label_sets) == {"good"}


def test_one_item_cannot_be_split(tmp_path: Path) -> None:
    catalog = make_catalog(tmp_path / "c.parquet", {"a.mp4": {}})
    with pytest.raises(ConfigError, match="1 items to train a probe and 0 to test it"):
        catalog_task(catalog, rows_of(catalog))


@pytest.mark.media
@pytest.mark.parametrize(("fold", "num_train", "num_test"), [(1, 27, 6), (2, 24, 9), (3, 15, 18)])
def test_the_real_clips(
    media_root: Path, tmp_path: Path, fold: int, num_train: int, num_test: int
) -> None:
    root = media_root / "action" / "gmdcsa24_ucfstyle"
    keys = sorted(path.relative_to(root / "videos").as_posix() for path in root.rglob("*.avi"))
    catalog = make_catalog(tmp_path / "c.parquet", {key: {} for key in keys})
    task = split_files_task(catalog, root / "splits", fold, "corpus")
    assert (len(task.train), len(task.test)) == (num_train, num_test)
    # UCF101's layout, not its data.
    assert task.name == f"lists-fold{fold}"
    assert task.groups is not None
    assert {task.groups[int(row)] for row in task.test} == {f"g{fold:02d}"}
    for row in task.test:
        assert catalog[int(row)].key.startswith(task.label_sets["class"][int(row)] + "/")


def test_lists_of_path_and_label(tmp_path: Path) -> None:
    catalog = make_catalog(tmp_path / "c.parquet", {f"videos/{i}.mp4": {} for i in range(6)})
    with pytest.raises(ConfigError, match="neither UCF101's classInd"):
        split_files_task(catalog, tmp_path, 1)
    (tmp_path / "train.csv").write_text("3.mp4 1\n0.mp4 0\n1.mp4 1\n2.mp4 0\n")
    (tmp_path / "test.csv").write_text("5.mp4 0\n4.mp4 1\n")
    task = split_files_task(catalog, tmp_path, 1)
    assert task.train.tolist() == [3, 0, 1, 2]
    assert task.test.tolist() == [5, 4]
    assert task.label_sets == {"class": {3: "1", 0: "0", 1: "1", 2: "0", 5: "0", 4: "1"}}
    assert task.name == "lists"
