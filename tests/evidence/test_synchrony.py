"""Proves that synchrony is counted as said, and that its recipe trains and is measured."""

from functools import partial
from pathlib import Path

import pytest
import torch

from avrep.evaluation.sync import OffsetScores
from avrep.media.index import index_sources
from avrep.media.synth import write_corpus
from avrep.media.synth_scene import SynthConfig
from evidence import synchrony
from evidence.synchrony import found_middle, measure_offsets, share_below_middle
from evidence.training import TrainedRun, train_run


def test_scores_by_hand() -> None:
    scores = OffsetScores(
        offsets_s=(-1.0, 0.0, 1.0),
        scores=torch.tensor([[0.0, 2.0, 1.0], [3.0, 2.0, 1.0], [3.0, 2.0, 5.0]]),
    )
    assert found_middle(scores) == [1.0, 0.0, 0.0]
    assert share_below_middle(scores) == [1.0, 0.5, 0.0]


@pytest.mark.slow
def test_the_recipe_trains_and_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def short_run(work: Path, method: str, catalog: Path, seed: int) -> TrainedRun:
        steps = ("train.num_steps=2", "train.warmup_steps=1", "train.batch_size=4")
        return train_run(work, method, catalog, seed, *steps)

    config = SynthConfig(num_videos=48, num_flash_beep=0, num_speech=0, width_px=64, height_px=48)
    folder = write_corpus(tmp_path / "corpus", config)
    catalog = tmp_path / "corpus.parquet"
    index_sources([str(folder)], catalog, num_workers=1)

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
