"""Clips of unlike size stack without touching one another's pixels."""

import numpy as np
import pytest

from avrep.pipeline.collate import collate
from avrep.types import Clip


def make_clip(height: int, width: int, value: int, *, audio: bool = False, rate: int = 0) -> Clip:
    return Clip(
        video=np.full((2, height, width, 3), value, np.uint8),
        pts_s=np.array([0.5, 1.0]),
        audio=np.full(10, value / 255, np.float32) if audio else None,
        audio_start_s=value / 10,
        rate_hz=rate,
    )


def test_frames_are_padded_below_and_right_with_zeros() -> None:
    view = collate([make_clip(4, 6, 7), make_clip(5, 3, 9)])
    assert view.video is not None
    assert view.video.shape == (2, 2, 5, 6, 3)
    assert view.size_px.tolist() == [[4, 6], [5, 3]]
    assert (view.video[0, :, :4, :6] == 7).all()
    assert (view.video[1, :, :5, :3] == 9).all()
    assert view.video.sum() == 2 * 3 * (4 * 6 * 7 + 5 * 3 * 9)
    assert view.pts_s.tolist() == [[0.5, 1.0], [0.5, 1.0]]


def test_sound_keeps_its_start_and_rate() -> None:
    view = collate([make_clip(2, 2, v, audio=True, rate=8000) for v in (10, 20)])
    assert view.audio is not None
    assert view.audio.shape == (2, 10)
    assert view.audio_start_s is not None
    assert view.audio_start_s.tolist() == [1.0, 2.0]
    assert view.rate_hz == 8000


def test_clips_of_unlike_kind_are_refused() -> None:
    with pytest.raises(ValueError, match="some clips of the view"):
        collate([make_clip(2, 2, 1), make_clip(2, 2, 1, audio=True)])
    with pytest.raises(ValueError, match="several rates"):
        collate([make_clip(2, 2, 1, rate=8000), make_clip(2, 2, 1, rate=16000)])
