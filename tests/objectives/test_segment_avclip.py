"""Checks segment AVCLIP: its curriculum, its temperature, and that it learns what goes with what."""

from dataclasses import replace

import pytest
import torch
from pydantic import ValidationError
from torch.nn import functional

from avrep.losses.segment_contrast import segment_info_nce
from avrep.objectives.base import BatchTensors, ViewTensors
from avrep.objectives.segment_avclip import SegmentAvclipConfig, hard_weight
from avrep.sampling.sync import SyncConfig
from tests.objectives import sync_toys


def test_the_defaults_are_the_paper_s() -> None:
    config = SegmentAvclipConfig()
    assert config.num_segments == 14
    assert config.sampler.duration_s == pytest.approx(14 * 0.64)


def test_the_curriculum_worked_by_hand() -> None:
    done = (0.0, 0.2, 0.3, 0.4, 0.5, 1.0)
    assert [hard_weight(share, 0.2, 0.4) for share in done] == pytest.approx([0, 0, 0.5, 1, 1, 1])
    assert [hard_weight(share, 0.0, 0.0) for share in (0.0, 0.5)] == [1, 1]
    assert [hard_weight(share, 0.4, 0.4) for share in (0.0, 0.3, 0.4)] == [0, 0, 1]


def test_the_curriculum_moves_after_each_step_and_reaches_the_loss() -> None:
    objective = sync_toys.segment_avclip().eval()
    batch = sync_toys.batch(objective)
    video, audio = objective.embed(batch.views[0])
    for step, weight in ((0, 0.0), (4, 0.5), (8, 1.0), (1, 0.0)):
        objective.after_step(step, 10)
        out = objective(batch, torch.Generator())
        assert out.metrics["hard_weight"] == pytest.approx(weight)
        expected = segment_info_nce(
            video, audio, video, audio, offset=0, temperature=0.07, hard_weight=weight
        )
        torch.testing.assert_close(out.loss, expected)


def test_the_temperature_is_learned_within_its_range() -> None:
    objective = sync_toys.segment_avclip()
    objective(sync_toys.batch(objective), torch.Generator()).loss.backward()
    assert objective.temperature.grad is not None
    for moved, kept in ((-1.0, 0.001), (3.0, 0.5), (0.2, 0.2)):
        with torch.no_grad():
            objective.temperature.fill_(moved)
        objective.after_step(1, 10)
        assert objective.temperature.item() == pytest.approx(kept)


def test_embeddings_are_of_each_segment_by_itself() -> None:
    objective = sync_toys.segment_avclip().eval()
    view = sync_toys.batch(objective).views[0]
    assert view.video is not None
    assert view.audio is not None
    video, audio = objective.embed(view)
    assert video.shape == audio.shape == (4, 2, 8)
    torch.testing.assert_close(video.norm(dim=2), torch.ones(4, 2))
    # The second of two segments of four frames, 2560 samples.
    pictures = objective.video(view.video[:, :, 4:8]).pooled
    sound = objective.audio(view.audio[:, 2560:5120]).pooled
    for rows, projection, embedded in (
        (pictures, objective.video_projection, video),
        (sound, objective.audio_projection, audio),
    ):
        expected = functional.normalize(projection(rows), dim=1)
        torch.testing.assert_close(embedded[:, 1], expected, rtol=1e-4, atol=1e-5)


def test_sound_one_sample_short_is_taken_and_any_other_view_refused() -> None:
    objective = sync_toys.segment_avclip().eval()
    view = sync_toys.batch(objective).views[0]
    assert view.audio is not None

    def loss_of(view: ViewTensors) -> float:
        batch = BatchTensors(step=0, views=(view,))
        return objective(batch, torch.Generator()).loss.item()

    assert loss_of(replace(view, audio=view.audio[:, :-1])) == pytest.approx(
        loss_of(replace(view, audio=functional.pad(view.audio[:, :-1], (0, 1))))
    )
    for other in (
        replace(view, audio=view.audio[:, :-2]),
        replace(view, audio=None),
        replace(view, rate_hz=8000),
        replace(view, video=None),
    ):
        with pytest.raises(ValueError, match=r"one view of 8 frames with 0\.32 s of sound"):
            loss_of(other)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValidationError, match="num_offsets must be 1"):
        SegmentAvclipConfig(sampler=SyncConfig())
    with pytest.raises(ValidationError, match=r"hard_from 0\.5 is above hard_at 0\.2"):
        SegmentAvclipConfig(hard_from=0.5, hard_at=0.2)
    with pytest.raises(ValidationError, match="must lie in temperature_range"):
        SegmentAvclipConfig(temperature=0.6)
    with pytest.raises(ValidationError, match="at most the 8 frames of a clip, got 16"):
        SegmentAvclipConfig(sampler=SyncConfig(num_frames=8, num_offsets=1))
