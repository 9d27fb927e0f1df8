"""Proves RSPNet's sampler: hand-worked frames, the released selection restated, the laws of starts,
speeds and of which is fast, loops in short videos, and that no frame is decoded that is not shown.
"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError
from scipy import stats

from avrep.rng import Stage, at
from avrep.sampling.spec import SamplerConfig, ViewSpec, draw_views, num_views
from avrep.sampling.speeds import SpeedsConfig, sample_speeds
from avrep.types import Address, Geometry, MediaItem, VideoStream
from avrep.units import frame_at

configs = st.builds(
    SpeedsConfig,
    num_frames=st.integers(1, 20),
    stride=st.integers(1, 4),
    speeds=st.sampled_from([(2,), (4,), (4, 2, 1), (3, 5)]),
    normal_share=st.sampled_from([0.0, 0.5, 1.0]),
)
lengths = st.integers(1, 500)
seeds = st.integers(0, 2**32)

Views = list[list[int]]


def drawn(length: int, config: SpeedsConfig, seed: int) -> Views:
    return [view.tolist() for view in sample_speeds(length, config, np.random.default_rng(seed))]


@pytest.mark.parametrize(
    ("normal_share", "expected"),
    [
        # 8 frames hold one clip of 4 frames at speed 2, so all starts are 0.
        (1.0, [[0, 1, 2, 3], [0, 1, 2, 3], [0, 2, 4, 6]]),
        (0.0, [[0, 2, 4, 6], [0, 2, 4, 6], [0, 1, 2, 3]]),
    ],
)
def test_the_views_by_hand(normal_share: float, expected: Views):
    config = SpeedsConfig(num_frames=4, normal_share=normal_share)
    assert drawn(8, config, 0) == expected


def test_a_short_video_loops_from_its_first_frame():
    # Five frames, where the clip wants eight: 0 2 4 6 8 becomes 0 2 4 1, and 0 1 2 3 stays.
    config = SpeedsConfig(num_frames=4, normal_share=0.0)
    for seed in range(5):
        assert drawn(5, config, seed) == [[0, 2, 4, 1], [0, 2, 4, 1], [0, 1, 2, 3]]


def test_the_defaults_are_the_released_ones():
    config = SpeedsConfig()
    assert (config.num_frames, config.stride, config.speeds) == (16, 1, (2,))
    assert (config.span_frames, config.fps, config.normal_share) == (32, None, 0.5)
    # As released, `diff_speed` [4] and [4, 2, 1] both take their views from clips of 64 frames.
    assert SpeedsConfig(speeds=(4,)).span_frames == 64
    assert SpeedsConfig(speeds=(4, 2, 1)).span_frames == 64


def released_views(length: int, starts: tuple[int, int], speed: int, query_speed: int) -> Views:
    """The released code's way, at its 16 frames and stride 1: two clips first, then their views."""
    span = 16 * speed
    clips = []
    for start in starts:
        if length <= span:
            clips.append([i % length for i in range(span)])
        else:
            clips.append([start + i for i in range(span)])
    at_one = list(range(span))[: span // speed]
    at_speed = list(range(0, span, speed))[: span // speed]
    own, other = (at_one, at_speed) if query_speed == 1 else (at_speed, at_one)
    return [
        [clips[0][i] for i in own],
        [clips[1][i] for i in own],
        [clips[1][i] for i in other],
    ]


@given(length=lengths, speed=st.sampled_from([2, 4]), slow=st.booleans(), seed=seeds)
def test_views_are_those_of_the_released_code(length: int, speed: int, slow: bool, seed: int):
    config = SpeedsConfig(speeds=(speed,), normal_share=float(slow))
    views = drawn(length, config, seed)
    expected = released_views(length, (views[0][0], views[1][0]), speed, 1 if slow else speed)
    assert views == expected


@given(length=lengths, config=configs, seed=seeds)
def test_keys_share_a_start_and_query_a_speed(length: int, config: SpeedsConfig, seed: int):
    query, key, other = sample_speeds(length, config, np.random.default_rng(seed))
    for view in (query, key, other):
        assert view.dtype == np.int64
        assert view.shape == (config.num_frames,)
        assert view.min() >= 0
        assert view.max() < length
    assert key[0] == other[0]
    steps = [
        {(speed * config.stride) % length for speed in {1, *config.speeds}},
        set(np.unique(np.diff(query) % length).tolist()),
        set(np.unique(np.diff(key) % length).tolist()),
        set(np.unique(np.diff(other) % length).tolist()),
    ]
    assert steps[1] == steps[2]
    assert len(steps[1]) == len(steps[3]) == min(config.num_frames - 1, 1)
    assert steps[1] | steps[3] <= steps[0]
    # One of the two is the speed 1, if a video is long enough to tell.
    if config.num_frames > 1:
        assert config.stride % length in steps[1] | steps[3]
    if length > (config.span_frames - 1) * config.stride:
        assert (np.diff(np.stack([query, key, other]), axis=1) > 0).all()


def test_starts_are_uniform_and_independent():
    # 39 frames, clips of 32: starts 0 to 7.
    config = SpeedsConfig()
    rng = np.random.default_rng(3)
    starts = np.array(
        [[view[0] for view in sample_speeds(39, config, rng)[:2]] for _ in range(12_000)]
    )
    counts = np.zeros((8, 8))
    np.add.at(counts, (starts[:, 0], starts[:, 1]), 1)
    assert stats.chisquare(counts.ravel()).pvalue > 1e-4


def test_each_speed_is_as_likely_and_half_the_queries_are_slow():
    rng = np.random.default_rng(4)
    config = SpeedsConfig(num_frames=2, speeds=(4, 2, 1))
    steps = np.array(
        [[view[1] - view[0] for view in sample_speeds(300, config, rng)[1:]] for _ in range(6000)]
    )
    fast = np.bincount(steps.max(axis=1), minlength=5)[[1, 2, 4]]
    assert stats.chisquare(fast).pvalue > 1e-4
    unlike = steps[steps[:, 0] != steps[:, 1]]
    slow_queries = int((unlike[:, 0] < unlike[:, 1]).sum())
    assert stats.binomtest(slow_queries, len(unlike)).pvalue > 1e-4


def test_snapping_moves_each_clip_back_by_itself():
    plain = SpeedsConfig(num_frames=4)
    moved = plain.model_copy(update={"snap_to_keyframe": True})
    keyframes = np.array([0, 12, 24])
    for seed in range(20):
        before = drawn(100, plain, seed)
        after = sample_speeds(100, moved, np.random.default_rng(seed), keyframes)
        for one, other in zip(before, after, strict=True):
            start = max(key for key in (0, 12, 24) if key <= one[0])
            assert other.tolist() == [start + frame - one[0] for frame in one]


def item(num_frames: int) -> MediaItem:
    video = VideoStream(width_px=320, height_px=240, fps=25.0, num_frames=num_frames, codec="h264")
    return MediaItem(
        key="a",
        shard="a.mp4",
        offset_bytes=0,
        length_bytes=1,
        duration_s=num_frames / 25,
        video=video,
    )


def test_a_spec_gives_the_three_views_and_asks_for_no_other_frame():
    spec = ViewSpec(sampler=SpeedsConfig(), geometry=Geometry(short_side_px=128))
    for row in range(8):
        clips = draw_views(spec, item(200), at(3, Stage.SAMPLE, Address(0, row)))
        assert len(clips) == num_views(spec) == 3
        expected = sample_speeds(200, SpeedsConfig(), at(3, Stage.SAMPLE, Address(0, row)))
        shown = [[frame_at(time_s, 25.0) for time_s in clip.frames_s] for clip in clips]
        assert shown == [view.tolist() for view in expected]
        # The slow key's 16 frames and the fast one's 16 share every second of the first 16.
        assert len({*shown[1], *shown[2]}) == 24


def test_the_config_comes_back_from_plain_data_by_its_kind():
    adapter: TypeAdapter[SamplerConfig] = TypeAdapter(SamplerConfig)
    config = SpeedsConfig(speeds=(4, 2, 1), num_frames=8)
    assert adapter.validate_python(config.model_dump(mode="json")) == config


@pytest.mark.parametrize(
    "wrong", [{"speeds": ()}, {"speeds": (0,)}, {"normal_share": 1.5}, {"num_clips": 3}]
)
def test_what_cannot_be_is_refused(wrong: dict[str, object]):
    with pytest.raises(ValidationError):
        SpeedsConfig.model_validate(wrong)
