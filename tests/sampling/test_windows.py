"""Windows stand where hand-worked examples say, show the stretch that they claim, and are the clips
that evaluation takes.
"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from avrep.errors import MediaError
from avrep.sampling.clips import ClipConfig, DenseConfig
from avrep.sampling.spec import ViewSpec, draw_views
from avrep.sampling.windows import SpacingConfig, sound_windows, video_windows, window_starts
from avrep.types import AudioStream, Geometry, MediaItem, VideoStream

CLIP = ClipConfig(num_frames=4, stride=2)


def _video(num_frames: int, fps: float = 10.0, start_s: float = 0.0) -> MediaItem:
    video = VideoStream(
        width_px=64, height_px=48, fps=fps, num_frames=num_frames, codec="h264", start_s=start_s
    )
    duration_s = start_s + num_frames / fps
    return MediaItem(
        key="a", shard="a", offset_bytes=0, length_bytes=1, duration_s=duration_s, video=video
    )


def _sound(duration_s: float, start_s: float = 0.0) -> MediaItem:
    audio = AudioStream(rate_hz=8000, channels=1, codec="flac", start_s=start_s)
    return MediaItem(
        key="a", shard="a", offset_bytes=0, length_bytes=1, duration_s=duration_s, audio=audio
    )


@pytest.mark.parametrize(
    ("length", "spacing", "starts"),
    [
        (20, {"num_clips": 1}, [6]),
        (20, {"num_clips": 4}, [0, 4, 8, 12]),
        (20, {"every_s": 0.5}, [0, 5, 10]),
        (20, {"every_s": 0.25}, [0, 2, 5, 7, 10, 12]),
        (20, {"every_s": 1.2}, [0, 12]),
        (20, {"every_s": 5}, [0]),
        # Finer than frames: each frame once.
        (10, {"every_s": 0.04}, [0, 1, 2]),
        (20, {"at_s": 0.79}, [7]),
        (20, {"at_s": 9}, [12]),
        # Too short for four different clips; too short for one.
        (10, {"num_clips": 4}, [0]),
        (11, {"num_clips": 4}, [0, 1, 2, 3]),
        (5, {"num_clips": 4}, [0]),
        (5, {"every_s": 0.1}, [0]),
        (5, {"at_s": 0.3}, [0]),
    ],
)
def test_starts_worked_by_hand(length: int, spacing: dict[str, float], starts: list[int]) -> None:
    assert window_starts(length, 8, 10.0, SpacingConfig.model_validate(spacing)) == starts


def test_a_window_says_what_it_shows() -> None:
    first, last = video_windows(_video(20, start_s=2.0), CLIP, SpacingConfig(num_clips=2))
    assert (first.start_s, first.end_s) == (2.0, 2.8)
    assert (last.start_s, last.end_s) == pytest.approx((3.2, 4.0))
    # Frames 0, 2, 4 and 7 of the eight: the first and the last are always among them.
    np.testing.assert_allclose(first.times.frames_s, [2.05, 2.25, 2.45, 2.75])
    (short,) = video_windows(_video(5), CLIP, SpacingConfig(num_clips=4))
    assert (short.start_s, short.end_s) == (0.0, 0.5)
    # A place is counted from the item's start, where the sound may be before the pictures.
    (placed,) = video_windows(_video(20, start_s=2.0), CLIP, SpacingConfig(at_s=2.5))
    assert placed.start_s == 2.5


def test_windows_of_sound_adjoin_in_whole_samples() -> None:
    windows = sound_windows(_sound(10.0, start_s=0.5), 2.0, 16000, SpacingConfig(every_s=2.0))
    assert [(w.start_s, w.end_s) for w in windows] == [
        (0.5, 2.5),
        (2.5, 4.5),
        (4.5, 6.5),
        (6.5, 8.5),
    ]
    assert windows[1].times.audio_s == (2.5, 4.5)
    (whole,) = sound_windows(_sound(1.25), 2.0, 16000, SpacingConfig(num_clips=4))
    assert whole.times.audio_s == (0.0, 1.25)


@given(
    num_frames=st.integers(1, 400),
    num_clips=st.integers(1, 12),
    clip_frames=st.integers(1, 20),
    stride=st.integers(1, 5),
)
def test_evenly_spaced_windows_are_evaluations_clips(
    num_frames: int, num_clips: int, clip_frames: int, stride: int
) -> None:
    item = _video(num_frames, fps=29.97, start_s=0.2)
    dense = DenseConfig(num_frames=clip_frames, stride=stride, num_clips=num_clips)
    wanted = draw_views(
        ViewSpec(sampler=dense, geometry=Geometry()), item, np.random.default_rng(0)
    )
    clip = ClipConfig(num_frames=clip_frames, stride=stride)
    windows = video_windows(item, clip, SpacingConfig(num_clips=num_clips))
    # Equal clips of evaluation are one window.
    assert {tuple(w.times.frames_s) for w in windows} == {tuple(t.frames_s) for t in wanted}
    for window in windows:
        assert window.start_s < window.times.frames_s[0]
        assert window.times.frames_s[-1] < window.end_s <= item.duration_s + 1e-9


def test_what_cannot_be_is_refused() -> None:
    for wrong in ({}, {"num_clips": 2, "every_s": 1.0}, {"every_s": 0.0}, {"at_s": -1.0}):
        with pytest.raises(ValidationError):
            SpacingConfig.model_validate(wrong)
    with pytest.raises(MediaError, match="no video stream"):
        video_windows(_sound(1.0), CLIP, SpacingConfig(num_clips=1))
    with pytest.raises(MediaError, match="no sound stream"):
        sound_windows(_video(10), 1.0, 16000, SpacingConfig(num_clips=1))
    with pytest.raises(MediaError, match="has no length"):
        sound_windows(_sound(0.5, start_s=0.5), 1.0, 16000, SpacingConfig(num_clips=1))


@given(
    length_s=st.floats(0.1, 500),
    every_s=st.floats(0.05, 20),
    covered_s=st.floats(0.05, 20),
)
def test_the_expected_number_is_about_right(
    length_s: float, every_s: float, covered_s: float
) -> None:
    spacing = SpacingConfig(every_s=every_s)
    rate_hz = 1000.0
    starts = window_starts(round(length_s * rate_hz), round(covered_s * rate_hz), rate_hz, spacing)
    assert abs(len(starts) - spacing.expected(length_s, covered_s)) <= 1
