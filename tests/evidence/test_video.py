"""The video half of the evidence from end to end: a few steps of each kind of method."""

from pathlib import Path

import pytest
import yaml

from avrep.config import load_config
from avrep.media.catalog import Catalog
from avrep.media.index import index_sources
from avrep.pretrain import pretrain
from evidence import training
from evidence.cells import read_cells, write_cells
from evidence.corpora import synthetic_catalog
from evidence.lines import lines_of
from evidence.methods import METHODS
from evidence.report import write_page

_RECIPES = training._RECIPES
_SMALL = {
    "cvrl": {"video_encoder": {"base_width": 4}},
    "rspnet": {"video_encoder": {"base_width": 4}},
    "videomae": {},
    "mae_st": {},
    "vjepa": {},
}


@pytest.fixture
def work(tmp_path: Path, synth_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a small corpus, and recipes of four steps."""
    index_sources([str(synth_folder)], tmp_path / "synthetic.parquet", num_workers=1)
    for method, changes in _SMALL.items():
        tree = yaml.safe_load((_RECIPES / f"{method}.yaml").read_text(encoding="utf-8"))
        for part, values in changes.items():
            tree[part] |= values
        tree["train"] |= {"batch_size": 4, "num_steps": 4, "warmup_steps": 1}
        tree["train"] |= {"checkpoint_every_steps": 2, "log_every_steps": 1}
        tree["evaluation"] = {"num_clips": 2}
        (tmp_path / f"{method}.yaml").write_text(yaml.safe_dump(tree), encoding="utf-8")
    monkeypatch.setattr(training, "_RECIPES", tmp_path)
    return tmp_path


@pytest.mark.slow
def test_every_video_method_is_trained_measured_and_shown(work: Path) -> None:
    for method in _SMALL:
        write_cells(work / "cells" / f"{method}.json", METHODS[method](work, work, 0))
    cells = read_cells((work / "cells").glob("*.json"))
    held_out = len(Catalog.open(synthetic_catalog(work)).rows_with(video=True, audio=False)) // 3
    asked = {(cell.method, cell.question): cell for cell in cells}
    assert len(asked) == 6
    for (_, question), cell in asked.items():
        draws = 4 if question.startswith("relative speed") else 1
        assert len(cell.keys) == len(set(cell.keys)) == held_out * draws
        assert len(set(cell.clusters)) == held_out
        assert cell.facts["steps"] == 4
    assert {cell.chance for cell in cells} == {0.125, 0.5}
    lines = lines_of("videomae", "digest", cells)
    page = write_page(work, lines).read_text(encoding="utf-8")
    assert "(evidence_videomae.png)" in page
    assert "(evidence_mae_st.png)" in page


def test_an_interrupted_training_goes_on(work: Path) -> None:
    catalog = synthetic_catalog(work)
    threads = f"train.num_threads={training.get_num_threads()}"
    config = load_config(work / "vjepa.yaml", [f"data.catalog={catalog}", "seed=1", threads])
    pretrain(config, work / "runs" / training.study_name("vjepa", 1), stop_after=2)
    went_on = training.train_run(work, "vjepa", catalog, 1)
    at_once = training.train_run(work / "again", "vjepa", catalog, 1)
    same = ("steps", "first_loss", "last_loss")
    assert [went_on.facts[name] for name in same] == [at_once.facts[name] for name in same]


def test_a_recipe_that_has_changed_is_another_study(work: Path) -> None:
    path = work / "vjepa.yaml"
    before = training.study_name("vjepa", 1)
    path.write_text("# A remark.\n" + path.read_text(encoding="utf-8"), encoding="utf-8")
    assert training.study_name("vjepa", 1) == before
    tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    tree["objective"]["flip_probability"] = 0.25
    path.write_text(yaml.safe_dump(tree), encoding="utf-8")
    assert training.study_name("vjepa", 1) != before
