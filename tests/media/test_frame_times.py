"""Proves the one rule of which frame is on display, against a search one by one, and the frame list."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avrep.errors import MediaError
from avrep.media.frame_times import read_frame_times, shown_at
from avrep.media.limits import DecodeLimits
from avrep.media.media_file import MediaFile

from .decode_truth import Slow, shown, write_numbered

STARTS = st.lists(st.integers(-50, 5000), min_size=1, max_size=30, unique=True).map(sorted)


@settings(deadline=None)
@given(STARTS, st.lists(st.integers(-100, 6000), max_size=20))
def test_the_last_frame_to_start_is_shown(starts: list[int], times: list[int]) -> None:
    pts_s, times_s = np.array(starts) / 30, np.array(times) / 30
    expected = [shown(Slow(pts_s, []), float(time_s)) for time_s in times_s]
    assert shown_at(pts_s, times_s).tolist() == expected


def test_a_frames_own_start_shows_it_however_it_was_reckoned() -> None:
    pts_s = np.arange(1000) * 1001 / 30000
    assert shown_at(pts_s, np.arange(1000) / (30000 / 1001)).tolist() == list(range(1000))


@pytest.mark.media
@pytest.mark.parametrize(
    ("name", "num_shown", "first_rank", "num_packets", "has_open_groups"),
    [
        ("discard_first_keyframe.mp4", 25, 5, 30, False),
        ("pattern_hevc.mp4", 10, 0, 10, True),
        ("flower_h264.mp4", 150, 0, 150, False),
    ],
)
def test_the_list_knows_hidden_frames_and_open_groups(
    media_root: Path,
    name: str,
    num_shown: int,
    first_rank: int,
    num_packets: int,
    has_open_groups: bool,
) -> None:
    with MediaFile((media_root / "odd" / name).read_bytes(), DecodeLimits()) as media:
        times = read_frame_times(media)
    assert len(times.pts_s) == num_shown
    assert times.packet_rank.tolist() == list(range(first_rank, first_rank + num_shown))
    assert times.num_packets == num_packets
    assert times.has_open_groups == has_open_groups
    assert np.all(np.diff(times.pts_s) > 0)
    assert times.pts_s[0] == 0.0
    assert times.end_s > times.pts_s[-1]


def test_a_bare_stream_is_counted_at_its_rate(tmp_path: Path) -> None:
    content = write_numbered(tmp_path / "n.h264", "libx264", "h264").read_bytes()
    with MediaFile(content, DecodeLimits()) as media:
        times = read_frame_times(media)
    assert times.pts_s == pytest.approx(np.arange(40) / 25)


@pytest.mark.media
def test_sound_has_no_frames(media_root: Path) -> None:
    content = (media_root / "odd" / "speech_8k_mono.wav").read_bytes()
    with MediaFile(content, DecodeLimits()) as media, pytest.raises(MediaError):
        read_frame_times(media)
