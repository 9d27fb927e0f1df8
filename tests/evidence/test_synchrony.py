"""Proves that shifts are counted the right way round, and that the hand-made baseline finds them."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from avrep.evaluation.sync import OffsetScores, scores_by_shift
from avrep.media.index import index_sources
from avrep.media.synth import write_corpus
from avrep.media.synth_scene import SynthConfig
from avrep.objectives.base import ViewTensors
from evidence import synchrony
from evidence.synchrony import (
    curves,
    envelope_scores,
    found_middle,
    measure_offsets,
    share_below_middle,
)
from evidence.training import TrainedRun, train_run


@pytest.mark.parametrize("late", [-4, -2, 0, 2, 4])
def test_envelopes_find_a_planted_shift(late: int) -> None:
    """Sound that starts late: what goes with frame j is heard that much before it."""
    motion = torch.rand(5, 40, generator=torch.Generator().manual_seed(0))
    loudness = 3 * motion.roll(-late, dims=1) + 1
    scores = envelope_scores(motion, loudness, reach=4, hop=2)
    assert scores.offsets_s == (-8, -6, -4, -2, 0, 2, 4, 6, 8)
    assert scores.best_s().tolist() == [late] * 5
    torch.testing.assert_close(scores.scores.amax(dim=1), torch.ones(5))


def test_envelopes_shift_as_embeddings_do() -> None:
    """The same planted shift is found by both, so that their columns mean the same."""
    motion = torch.rand(3, 30, generator=torch.Generator().manual_seed(1))
    loudness = motion.roll(-3, dims=1)
    by_hand = envelope_scores(motion, loudness, reach=5, hop=1)
    by_distance = scores_by_shift(motion[..., None], loudness[..., None], 5, 1.0)
    assert by_hand.best_s().tolist() == by_distance.best_s().tolist() == [3.0] * 3


def test_envelopes_are_correlations() -> None:
    generator = torch.Generator().manual_seed(2)
    motion, loudness = torch.rand(2, 1, 12, generator=generator)
    scores = envelope_scores(motion, loudness, reach=2, hop=2).scores[0]
    middle = motion[0, 4:8].numpy()
    for column, first in enumerate((8, 6, 4, 2, 0)):
        wanted = np.corrcoef(middle, loudness[0, first : first + 4].numpy())[0, 1]
        assert scores[column].item() == pytest.approx(wanted, abs=1e-5)


def test_curves_are_of_each_frame() -> None:
    """Pictures that jump at frame 3, sound that is on in frame 5."""
    video = torch.zeros(1, 3, 8, 4, 4)
    video[:, :, 3:] = 0.5
    audio = torch.zeros(1, 80)
    audio[:, 50:60] = -0.25
    motion, loudness = curves(
        ViewTensors(video=video, pts_s=torch.zeros(1, 8), audio=audio, rate_hz=16000)
    )
    torch.testing.assert_close(motion[0], 0.5 * torch.eye(8)[3])
    torch.testing.assert_close(loudness[0], 0.25 * torch.eye(8)[5])


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
