"""Proves that synchrony is counted as said, and that its recipe trains and is measured."""

from functools import partial
from pathlib import Path

import pytest
import torch

from avrep.evaluation.sync import OffsetScores
from avrep.evaluation.sync_results import SyncClips
from avrep.media.index import index_sources
from avrep.media.synth import write_corpus
from avrep.media.synth_scene import SynthConfig
from evidence import drawn_offsets, synchrony
from evidence.drawn_offsets import DRAWN_OFFSETS, found
from evidence.synchrony import found_middle, measure_offsets, share_below_middle
from evidence.training import TrainedRun, train_run


def test_scores_by_hand() -> None:
    scores = OffsetScores(
        offsets_s=(-1.0, 0.0, 1.0),
        scores=torch.tensor([[0.0, 2.0, 1.0], [3.0, 2.0, 1.0], [3.0, 2.0, 5.0]]),
    )
    assert found_middle(scores) == [1.0, 0.0, 0.0]
    assert share_below_middle(scores) == [1.0, 0.5, 0.0]


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("synchrony")
    config = SynthConfig(num_videos=48, num_flash_beep=0, num_speech=0, width_px=64, height_px=48)
    index_sources(
        [str(write_corpus(folder / "corpus", config))], folder / "c.parquet", num_workers=1
    )
    return folder / "c.parquet"


def short_run(work: Path, method: str, catalog: Path, seed: int, *changes: str) -> TrainedRun:
    steps = ("train.num_steps=2", "train.warmup_steps=1", "train.batch_size=4")
    return train_run(work, method, catalog, seed, *steps, *changes)


@pytest.mark.slow
def test_the_recipe_trains_and_is_measured(
    catalog: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def given(work: Path, below: str = "") -> Path:
        del work, below
        return catalog

    monkeypatch.setattr(synchrony, "train_run", short_run)
    monkeypatch.setattr(synchrony, "synthetic_catalog", given)
    monkeypatch.setattr(synchrony, "folder_catalog", given)
    measure = partial(measure_offsets, tmp_path / "work", tmp_path, 0)
    offset, control, heads = measure()
    assert len(offset.keys) == 16
    assert all("videos/test/" in key for key in offset.keys)
    assert len(heads.keys) == 48
    assert control.baseline is None
    assert heads.baseline is not None
    assert set(offset.trained) <= {0.0, 1.0}
    assert measure() == [offset, control, heads]


@pytest.mark.slow
@pytest.mark.parametrize(("method", "num_offsets"), [("syncnet", 13), ("synchformer", 7)])
def test_drawn_offsets_are_looked_for(
    catalog: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str, num_offsets: int
) -> None:
    monkeypatch.setattr(drawn_offsets, "train_run", short_run)
    monkeypatch.setattr(drawn_offsets, "synthetic_catalog", lambda _: catalog)
    drawn, control = DRAWN_OFFSETS[method](tmp_path / "work", tmp_path, 0)
    assert len(drawn.keys) == 16
    assert all("videos/test/" in key for key in drawn.keys)
    assert drawn.chance == 1 / num_offsets
    assert drawn.baseline is not None
    assert set(drawn.trained) <= {0.0, 1.0}
    assert control.baseline is None


def test_an_offset_is_found_where_it_was_drawn() -> None:
    grid_s = (-1.0, 0.0, 1.0)
    told = OffsetScores(offsets_s=grid_s, scores=torch.eye(3))
    clips = SyncClips(
        keys=("a", "b", "c"),
        numbers=torch.tensor([0, 1, 1]),
        scores=told,
        others=told,
        by_hand=None,
        embedded=None,
        confidence=None,
        hop_s=1.0,
    )
    assert found(clips, clips.scores) == [1.0, 1.0, 0.0]
