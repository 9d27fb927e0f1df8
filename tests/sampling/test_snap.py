"""Proves key-frame snapping: each start becomes the last key frame at or before it, and nothing else
of a sampler changes.

Truth: the same sampler without snapping, and a search one by one.
"""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avrep.sampling.clips import DenseConfig, UniformConfig, dense_clips, snapped, uniform_clips
from avrep.sampling.pairs import PairConfig, sample_pair
from avrep.sampling.spec import SamplerConfig, ViewSpec, draw_views
from avrep.types import Geometry, MediaItem, VideoStream

FPS = 25.0
lengths = st.integers(1, 400)
keys = st.lists(st.integers(0, 399), max_size=12, unique=True).map(sorted)
seeds = st.integers(0, 2**32)


def last_at_or_before(start: int, keyframes: Sequence[int]) -> int:
    return max([key for key in keyframes if key <= start], default=start)


def test_snapping_by_hand():
    config = UniformConfig(snap_to_keyframe=True)
    keyframes = np.array([0, 12, 24])
    starts = [snapped(start, keyframes, config) for start in (0, 1, 11, 12, 13, 23, 24, 99)]
    assert starts == [0, 0, 0, 12, 12, 12, 24, 24]
    assert snapped(7, np.array([9, 20]), config) == 7
    assert snapped(7, np.zeros(0, np.int64), config) == 7
    assert snapped(7, keyframes, UniformConfig()) == 7


@settings(deadline=None)
@given(length=lengths, keyframes=keys, stride=st.integers(1, 8), seed=seeds)
def test_each_uniform_clip_is_the_unsnapped_one_moved_back(
    length: int, keyframes: list[int], stride: int, seed: int
):
    known = np.array([key for key in keyframes if key < length], np.int64)
    plain = UniformConfig(num_frames=8, stride=stride, num_clips=4)
    moved = plain.model_copy(update={"snap_to_keyframe": True})
    before = uniform_clips(length, plain, np.random.default_rng(seed), known)
    after = uniform_clips(length, moved, np.random.default_rng(seed), known)
    for one, other in zip(before, after, strict=True):
        start = last_at_or_before(int(one[0]), known.tolist())
        assert other.tolist() == [(start + stride * i) % length for i in range(8)]


@settings(deadline=None)
@given(length=lengths, keyframes=keys, seed=seeds)
def test_each_clip_of_a_pair_snaps_by_itself(length: int, keyframes: list[int], seed: int):
    known = np.array([key for key in keyframes if key < length], np.int64)
    before = sample_pair(length, PairConfig(num_frames=8), np.random.default_rng(seed), known)
    config = PairConfig(num_frames=8, snap_to_keyframe=True)
    after = sample_pair(length, config, np.random.default_rng(seed), known)
    for one, other in zip(before, after, strict=True):
        assert int(other[0]) == last_at_or_before(int(one[0]), known.tolist())
        assert 0 <= other.min() <= other.max() < length


@settings(deadline=None)
@given(length=lengths, keyframes=keys, num_clips=st.integers(1, 6))
def test_dense_clips_snap_and_stay_inside(length: int, keyframes: list[int], num_clips: int):
    known = np.array([key for key in keyframes if key < length], np.int64)
    plain = DenseConfig(num_frames=4, num_clips=num_clips)
    before = dense_clips(length, plain, known)
    after = dense_clips(length, plain.model_copy(update={"snap_to_keyframe": True}), known)
    for one, other in zip(before, after, strict=True):
        start = last_at_or_before(int(one[0]), known.tolist())
        assert int(other[0]) == start
        assert other.max() < length


def item(keyframes_s: Sequence[float], start_s: float = 0.0) -> MediaItem:
    video = VideoStream(
        width_px=64,
        height_px=48,
        fps=FPS,
        num_frames=200,
        codec="h264",
        start_s=start_s,
        keyframes_s=np.array(keyframes_s, np.float64),
    )
    return MediaItem(
        key="k", shard="k", offset_bytes=0, length_bytes=0, duration_s=8.0 + start_s, video=video
    )


SAMPLERS: list[SamplerConfig] = [
    UniformConfig(num_frames=8, num_clips=3, snap_to_keyframe=True),
    PairConfig(num_frames=8, snap_to_keyframe=True),
    DenseConfig(num_frames=8, num_clips=3, snap_to_keyframe=True),
]


@pytest.mark.parametrize("sampler", SAMPLERS, ids=lambda sampler: sampler.kind)
@settings(deadline=None)
@given(
    gop=st.integers(1, 60),
    start_s=st.sampled_from([0.0, 0.2, 1 / 3]),
    fps=st.sampled_from([None, 25.0, 10.0, 60.0]),
    seed=seeds,
)
def test_a_snapped_clip_shows_a_key_frame_first(
    sampler: SamplerConfig, gop: int, start_s: float, fps: float | None, seed: int
):
    keyframes_s = start_s + np.arange(0, 200, gop) / FPS
    spec = ViewSpec(sampler=sampler.model_copy(update={"fps": fps}), geometry=Geometry())
    for view in draw_views(spec, item(keyframes_s.tolist(), start_s), np.random.default_rng(seed)):
        first_s = float(view.frames_s[0])
        # The key frame's own display, or less than a counted frame after its start.
        late_s = first_s - keyframes_s[keyframes_s <= first_s + 1e-9].max()
        assert -1e-9 <= late_s <= 1 / (fps or FPS) + 1e-9


def test_nothing_known_of_key_frames_changes_nothing():
    for sampler in SAMPLERS:
        plain = sampler.model_copy(update={"snap_to_keyframe": False})
        for seed in range(5):
            one, other = (
                draw_views(
                    ViewSpec(sampler=s, geometry=Geometry()), item([]), np.random.default_rng(seed)
                )
                for s in (sampler, plain)
            )
            assert [a.frames_s.tolist() for a in one] == [b.frames_s.tolist() for b in other]


def test_one_key_frame_gives_the_beginning_only():
    spec = ViewSpec(sampler=SAMPLERS[0], geometry=Geometry())
    views = draw_views(spec, item([0.0]), np.random.default_rng(0))
    assert [float(view.frames_s[0]) for view in views] == [0.5 / FPS] * 3
