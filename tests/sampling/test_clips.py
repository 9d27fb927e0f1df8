"""Proves the single-clip samplers: hand-worked frames, the dense rule against a slow restatement,
ranges and strides for any length, and uniform starts.
"""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy import stats

from avrep.sampling.clips import (
    DenseConfig,
    UniformConfig,
    dense_clips,
    looped_clip,
    num_starts,
    uniform_clips,
)

lengths = st.integers(1, 2000)
frames = st.integers(1, 64)
strides = st.integers(1, 16)
seeds = st.integers(0, 2**32)


def test_looped_clip_by_hand():
    config = UniformConfig(num_frames=4, stride=3)
    assert looped_clip(5, 20, config).tolist() == [5, 8, 11, 14]
    assert looped_clip(5, 7, config).tolist() == [5, 1, 4, 0]


@pytest.mark.parametrize(
    ("length", "num_frames", "stride", "expected"),
    [(100, 16, 2, 70), (31, 16, 2, 1), (30, 16, 2, 30), (5, 16, 2, 5), (9, 1, 7, 9)],
)
def test_num_starts_by_hand(length: int, num_frames: int, stride: int, expected: int):
    assert num_starts(length, UniformConfig(num_frames=num_frames, stride=stride)) == expected


def test_dense_by_hand_longer_than_a_clip():
    # L = 20, S = 4 * 2 = 8, slack 12, so starts 0, 6, 12 and frames 0, 7/3, 14/3, 7 rounded down.
    clips = dense_clips(20, DenseConfig(num_frames=4, stride=2, num_clips=3))
    assert [clip.tolist() for clip in clips] == [[0, 2, 4, 7], [6, 8, 10, 13], [12, 14, 16, 19]]


def test_dense_by_hand_exactly_a_clip():
    clips = dense_clips(8, DenseConfig(num_frames=4, stride=2, num_clips=2))
    assert [clip.tolist() for clip in clips] == [[0, 2, 4, 7], [0, 2, 4, 7]]


def test_dense_by_hand_shorter_than_a_clip_holds_the_last_frame():
    clips = dense_clips(4, DenseConfig(num_frames=4, stride=2, num_clips=2))
    assert [clip.tolist() for clip in clips] == [[0, 2, 3, 3], [0, 2, 3, 3]]


def test_dense_single_clip_is_central():
    (clip,) = dense_clips(21, DenseConfig(num_frames=4, stride=2, num_clips=1))
    assert clip.tolist() == [6, 8, 10, 13]


def test_dense_with_less_slack_than_gaps_repeats_one_clip():
    clips = dense_clips(40, DenseConfig(num_frames=16, stride=2, num_clips=10))
    assert {tuple(clip.tolist()) for clip in clips} == {tuple(clips[0].tolist())}


def dense_restated(length: int, n: int, covered: int, num_frames: int) -> list[list[int]]:
    """Reference notes on MAE-ST, word by word and with exact fractions."""
    slack = max(length - covered, 0)
    clips = []
    for j in range(n):
        start = slack // 2 if n == 1 else j * (slack // (n - 1))
        clip = []
        for i in range(num_frames):
            at = Fraction(start)
            if num_frames > 1:
                at += Fraction(i * (covered - 1), num_frames - 1)
            at = min(max(at, Fraction(0)), Fraction(length - 1))
            clip.append(int(at))
        clips.append(clip)
    return clips


@given(length=lengths, num_frames=frames, stride=strides, n=st.integers(1, 12))
def test_dense_equals_its_restatement(length: int, num_frames: int, stride: int, n: int):
    clips = dense_clips(length, DenseConfig(num_frames=num_frames, stride=stride, num_clips=n))
    expected = dense_restated(length, n, num_frames * stride, num_frames)
    assert [clip.tolist() for clip in clips] == expected


@given(length=lengths, num_frames=frames, stride=strides, seed=seeds)
def test_uniform_clips_stay_inside_and_keep_their_stride(
    length: int, num_frames: int, stride: int, seed: int
):
    config = UniformConfig(num_frames=num_frames, stride=stride, num_clips=3)
    clips = uniform_clips(length, config, np.random.default_rng(seed))
    assert len(clips) == 3
    for clip in clips:
        assert clip.dtype == np.int64
        assert clip.shape == (num_frames,)
        assert clip.min() >= 0
        assert clip.max() < length
        assert ((np.diff(clip) - stride) % length == 0).all()
        if length > (num_frames - 1) * stride:
            assert (np.diff(clip) == stride).all()


@pytest.mark.parametrize("length", [40, 20])
def test_uniform_starts_are_uniform(length: int):
    config = UniformConfig(num_frames=16, stride=2, num_clips=1000)
    rng = np.random.default_rng(7)
    starts = [int(clip[0]) for _ in range(10) for clip in uniform_clips(length, config, rng)]
    counts = np.bincount(starts, minlength=num_starts(length, config))
    assert len(counts) == (10 if length == 40 else 20)
    assert stats.chisquare(counts).pvalue > 1e-4


def test_uniform_is_a_function_of_its_generator():
    config = UniformConfig(num_clips=5)
    one, same, other = (
        np.stack(uniform_clips(500, config, np.random.default_rng(seed))) for seed in (1, 1, 2)
    )
    assert (one == same).all()
    assert (one != other).any()


@pytest.mark.parametrize(
    "wrong", [{"num_frames": 0}, {"stride": 0}, {"fps": 0.0}, {"num_clips": 0}, {"strides": 2}]
)
def test_configs_refuse_what_cannot_be(wrong: dict[str, float]):
    with pytest.raises(ValidationError):
        DenseConfig.model_validate(wrong)
