"""Proves that offsets are drawn evenly, and that nothing but picture and sound could tell them."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from avrep.errors import MediaError
from avrep.sampling.sync import SyncConfig, offset_number, offsets_s, sync_clip
from avrep.types import AudioStream, MediaItem, VideoStream

_SHORT = SyncConfig(num_frames=10, fps=10.0, max_offset_s=0.5, num_offsets=11, jitter_s=0.02)


CHI_SQUARE_10 = 29.6
"""What chance goes beyond once in a thousand, with ten degrees of freedom."""


def chi_square(counts: npt.ArrayLike, expected: npt.ArrayLike) -> float:
    expected = np.asarray(expected, np.float64)
    return float(((np.asarray(counts) - expected) ** 2 / expected).sum())


def _item(
    *,
    video_s: float = 12.0,
    audio_s: float | None = 12.0,
    video_start_s: float = 0.0,
    audio_start_s: float = 0.0,
) -> MediaItem:
    end_s = None if audio_s is None else audio_start_s + audio_s
    return MediaItem(
        key="k",
        shard="s",
        offset_bytes=0,
        length_bytes=1,
        duration_s=max(video_start_s + video_s, end_s or 0.0),
        video=VideoStream(
            width_px=64,
            height_px=48,
            fps=25.0,
            num_frames=round(25 * video_s),
            codec="h264",
            start_s=video_start_s,
        ),
        audio=AudioStream(
            rate_hz=16000, channels=1, codec="aac", start_s=audio_start_s, end_s=end_s
        ),
    )


def test_the_paper_s_grid() -> None:
    """Synchformer: 21 classes from -2 to 2 s, 0.2 s apart, clips of 5 s."""
    config = SyncConfig()
    assert config.duration_s == 5.0
    assert offsets_s(config) == pytest.approx(np.linspace(-2, 2, 21))


@given(
    video_s=st.floats(1.5, 30),
    audio_s=st.floats(1.5, 30),
    video_start_s=st.sampled_from([0.0, 0.03, 1.0]),
    audio_start_s=st.sampled_from([0.0, 0.021, 0.7]),
    seed=st.integers(0, 2**32),
)
def test_clip_and_every_offset_s_sound_lie_within_their_streams(
    video_s: float, audio_s: float, video_start_s: float, audio_start_s: float, seed: int
) -> None:
    item = _item(
        video_s=video_s, audio_s=audio_s, video_start_s=video_start_s, audio_start_s=audio_start_s
    )
    try:
        times = sync_clip(item, _SHORT, np.random.default_rng(seed))
    except MediaError:
        together_s = min(video_start_s + video_s, audio_start_s + audio_s - 0.52) - max(
            video_start_s, audio_start_s + 0.52
        )
        assert together_s < 1.0 + 0.05
        return
    assert times.audio_s is not None
    start_s = times.frames_s[0] - 0.05
    assert np.diff(times.frames_s) == pytest.approx(0.1)
    assert video_start_s - 1e-9 <= start_s
    assert item.video is not None
    assert start_s + 1.0 <= video_start_s + item.video.num_frames / 25 + 1e-9
    # Not only the offset that was drawn: the furthest would fit as well.
    assert audio_start_s - 1e-9 <= start_s - 0.52
    assert start_s + 1.0 + 0.52 <= audio_start_s + audio_s + 1e-9
    assert times.audio_s[1] - times.audio_s[0] == pytest.approx(1.0)
    assert abs(times.audio_s[0] - start_s) <= 0.52 + 1e-9


def test_offsets_are_even_and_tell_nothing_of_the_clip_s_place() -> None:
    item = _item(video_s=4.0, audio_s=4.0)
    numbers, starts_s = [], []
    for seed in range(4000):
        times = sync_clip(item, _SHORT, np.random.default_rng(seed))
        assert times.audio_s is not None
        numbers.append(offset_number(_SHORT, float(times.frames_s[0]), times.audio_s[0]))
        starts_s.append(float(times.frames_s[0]))
    counts = np.bincount(numbers, minlength=11)
    assert chi_square(counts[None], np.full((1, 11), 4000 / 11)) < CHI_SQUARE_10
    early = [n for n, start_s in zip(numbers, starts_s, strict=True) if start_s < 1.5]
    late = [n for n, start_s in zip(numbers, starts_s, strict=True) if start_s >= 1.5]
    assert min(len(early), len(late)) > 1000
    table = np.array([np.bincount(early, minlength=11), np.bincount(late, minlength=11)])
    independent = table.sum(axis=1, keepdims=True) * table.sum(axis=0) / table.sum()
    assert chi_square(table, independent) < CHI_SQUARE_10


@pytest.mark.parametrize("video_s", [2.54, 6.04])
def test_the_sound_s_place_tells_no_more_than_is_said(video_s: float) -> None:
    """Without jitter and with a slack of 0.5 or 4 s, the best guess from the sound's place alone."""
    config = SyncConfig(num_frames=10, fps=10.0, max_offset_s=0.5, num_offsets=5, jitter_s=0.0)
    item = _item(video_s=video_s, audio_s=video_s)
    slack_s = video_s - config.duration_s - 2 * config.reach_s
    places, numbers = [], []
    for seed in range(6000):
        times = sync_clip(item, config, np.random.default_rng(seed))
        assert times.audio_s is not None
        places.append(int(times.audio_s[0] / 0.1))
        numbers.append(offset_number(config, float(times.frames_s[0]), times.audio_s[0]))
    counts = np.zeros((max(places) + 1, 5))
    np.add.at(counts, (places[::2], numbers[::2]), 1)
    guessed = counts.argmax(axis=1)[places[1::2]]
    share = float(np.mean(guessed == np.array(numbers[1::2])))
    assert share == pytest.approx((1 + 2 * 0.5 / slack_s) / 5, abs=0.03)


def test_one_offset_is_none() -> None:
    config = SyncConfig(num_frames=10, fps=10.0, num_offsets=1, jitter_s=0.0)
    times = sync_clip(_item(), config, np.random.default_rng(0))
    assert times.audio_s is not None
    assert times.audio_s[0] == pytest.approx(times.frames_s[0] - 0.05)
    assert offset_number(config, float(times.frames_s[0]), times.audio_s[0]) == 0


def test_what_cannot_be_is_refused() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(MediaError, match=r"no 1 s of pictures with 0\.52 s more"):
        sync_clip(_item(video_s=1.9, audio_s=1.9), _SHORT, rng)
    # A catalogue that does not know the sound's end: the item's is taken.
    sync_clip(_item(audio_s=None), _SHORT, rng)
    with pytest.raises(ValidationError, match="must be odd"):
        SyncConfig(num_offsets=20)
    with pytest.raises(ValidationError, match=r"0\.001 s or more below half the 0\.2 s"):
        SyncConfig(jitter_s=0.1)
