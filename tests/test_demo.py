"""The whole job on folders of several kinds, small: it ends with a report, or one clear error."""

import json
import shutil
from pathlib import Path

import pytest

from avrep.demo import MARK, run_demo
from avrep.errors import ConfigError
from avrep.evaluation.results import read_rows

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_cluster")]

TINY = [
    "video_encoder.base_width=4",
    "objective.sampler.num_frames=4",
    "objective.short_side_px=32",
    "objective.crop_px=32",
    "train.batch_size=4",
    "train.num_steps=4",
    "train.warmup_steps=1",
    "evaluation.num_clips=2",
]


@pytest.mark.slow
def test_a_folder_without_labels_is_measured_without_probes(
    synth_folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "data").mkdir()
    for path in (synth_folder / "videos").rglob("*.mp4"):
        shutil.copy(path, tmp_path / "data" / path.name)
    report = run_demo(tmp_path / "data", tmp_path / "out", overrides=TINY)
    assert report.read_text().startswith("<!DOCTYPE html>")
    rows = read_rows(report.parent / "evaluation" / "demo.json")
    assert {row.protocol for row in rows} == {"instance"}
    trained_on = (report.parent / "train_keys.txt").read_text().splitlines()
    assert len(trained_on) == 18
    assert {row.num_test for row in rows} == {6}


@pytest.mark.slow
def test_class_folders_are_probed(synth_folder: Path, tmp_path: Path) -> None:
    for i, path in enumerate(sorted((synth_folder / "videos").rglob("*.mp4"))):
        folder = tmp_path / "data" / ("odd" if i % 2 else "even")
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, folder / path.name)
    report = run_demo(tmp_path / "data", tmp_path / "out", num_seeds=2, overrides=TINY)
    rows = read_rows(report.parent / "evaluation" / "demo.json")
    assert {(row.label, row.protocol) for row in rows} >= {
        ("class", "linear"),
        ("class", "knn"),
        ("class", "retrieval"),
    }
    assert {row.over for row in rows} == {"mean of seeds"}
    losses = [
        [json.loads(line)["loss"] for line in path.read_text().splitlines()]
        for path in sorted((tmp_path / "out").glob("seed*/metrics.jsonl"))
    ]
    assert len(losses) == 2
    assert losses[0] != losses[1]
    # A second demo replaces the first in its own folder.
    run_demo(tmp_path / "data", tmp_path / "out", overrides=TINY)
    assert [path.name for path in (tmp_path / "out").glob("seed*")] == ["seed0"]


@pytest.mark.slow
@pytest.mark.media
def test_the_real_clips_over_all_folds(media_root: Path, tmp_path: Path) -> None:
    root = media_root / "action" / "gmdcsa24_ucfstyle"
    report = run_demo(
        root / "videos",
        tmp_path / "out",
        splits=root / "splits",
        fold="all",
        group_scope="corpus",
        overrides=TINY,
    )
    rows = read_rows(report.parent / "evaluation" / "demo.json")
    linear = [row for row in rows if row.protocol == "linear" and row.metric == "top1"]
    assert {row.num_test for row in linear} == {33}
    assert {row.num_clusters for row in linear} == {3}
    assert {row.over for row in linear} == {"pooled folds"}
    for fold in (1, 2, 3):
        trained_on = (tmp_path / "out" / f"seed0-fold{fold}" / "train_keys.txt").read_text()
        assert f"_g{fold:02d}_" not in trained_on


def test_mistakes(synth_folder: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.tex").write_text("do not touch")
    with pytest.raises(ConfigError, match="holds files that no demo wrote"):
        run_demo(None, mine)
    with pytest.raises(ConfigError, match="no such key"):
        run_demo(None, tmp_path / "out", overrides=["train.epochs=3"])
    assert not (tmp_path / "out").exists()
    with pytest.raises(ConfigError, match="measured one at a time"):
        run_demo(mine, tmp_path / "out", splits=split_lists(tmp_path), fold="all", num_seeds=2)
    with pytest.raises(ConfigError, match=r"no testlist01\.txt"):
        run_demo(mine, tmp_path / "out", splits=mine, fold="all")
    with pytest.raises(ConfigError, match="--splits and --fold are of your own clips"):
        run_demo(None, tmp_path / "out", splits=mine)
    # What an earlier demo left stays until nothing is left that could be refused.
    (tmp_path / "out" / "seed0").mkdir(parents=True)
    (tmp_path / "out" / MARK).touch()
    (mine / "test.csv").write_text("path,label\nnone.mp4,walk\n")
    with pytest.raises(ConfigError):
        run_demo(synth_folder / "videos", tmp_path / "out", splits=mine)
    assert (tmp_path / "out" / "seed0").is_dir()


def split_lists(tmp_path: Path) -> Path:
    folder = tmp_path / "splits"
    folder.mkdir()
    for fold in (1, 2):
        (folder / f"testlist{fold:02d}.txt").touch()
    return folder
