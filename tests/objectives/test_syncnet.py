"""Checks SyncNet: which windows are compared with which sound, and what it refuses."""

import pytest
import torch
from pydantic import ValidationError

from avrep.evaluation.sync import scores_by_shift
from avrep.objectives.syncnet import SyncnetConfig
from avrep.sampling.sync import SyncConfig
from tests.objectives import sync_toys


def test_the_defaults_are_the_released_evaluation_s() -> None:
    config = SyncnetConfig()
    assert config.segment_frames / config.sampler.fps == pytest.approx(0.2)
    assert config.hop_frames / config.sampler.fps == pytest.approx(0.04)
    assert config.num_segments - 2 * config.max_shift == 16


def test_distances_are_between_windows_encoded_alone() -> None:
    objective = sync_toys.syncnet().eval()
    view = sync_toys.batch(objective).views[0]
    assert view.video is not None
    assert view.audio is not None
    distances = objective.distances(view)
    # Nine frames are five windows of five; only the middle one has two on either side.
    assert distances.shape == (4, 1, 5)
    pictures = objective.video_head(objective.video(view.video[:, :, 2:7]).pooled)
    for shift in range(-2, 3):
        first = 640 * (2 - shift)
        sound = objective.audio_head(objective.audio(view.audio[:, first : first + 3200]).pooled)
        expected = (pictures - sound).norm(dim=1)
        torch.testing.assert_close(distances[:, 0, shift + 2], expected, rtol=1e-3, atol=1e-4)


def test_the_loss_is_the_formula_written_slowly() -> None:
    objective = sync_toys.syncnet().eval()
    batch = sync_toys.batch(objective)
    distances = objective.distances(batch.views[0])
    total = 0.0
    for clip in distances.tolist():
        for window in clip:
            false = [max(0.0, 5.0 - d) ** 2 for k, d in enumerate(window) if k != 2]
            total += (window[2] ** 2 + sum(false) / len(false)) / 2
    out = objective(batch, torch.Generator())
    assert out.loss.item() == pytest.approx(total / 4, rel=1e-5)


def test_evaluation_scores_are_the_objective_s_distances() -> None:
    objective = sync_toys.syncnet().eval()
    view = sync_toys.batch(objective).views[0]
    video = objective.video_head(objective.encode_video(view).pooled).unflatten(0, (4, -1))
    audio = objective.audio_head(objective.encode_audio(view).pooled).unflatten(0, (4, -1))
    found = scores_by_shift(video, audio, reach=2, hop_s=0.04)
    expected = objective.distances(view).mean(dim=1)
    torch.testing.assert_close(-found.scores, expected, rtol=1e-4, atol=1e-5)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValidationError, match="num_offsets must be 1"):
        SyncnetConfig(sampler=SyncConfig())
    with pytest.raises(ValidationError, match="below half the 21 windows of a clip, got 15"):
        SyncnetConfig(sampler=SyncConfig(num_frames=25, num_offsets=1))
