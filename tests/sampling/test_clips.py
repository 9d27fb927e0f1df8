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
    ClipForm,
    DenseConfig,
    UniformConfig,
    dense_clips,
    held_clip,
    looped_clip,
    num_starts,
    spread_clip,
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


def test_forms_by_hand() -> None:
    config = UniformConfig(num_frames=4, stride=3)
    # 7 frames: 5, 8 and what is behind.
    assert held_clip(5, 7, config).tolist() == [5, 6, 6, 6]
    # 0, 11/3, 22/3 and 11 of 12 frames, rounded down.
    assert spread_clip(2, 20, config).tolist() == [2, 5, 9, 13]
    rng = np.random.default_rng(0)
    cases: tuple[tuple[ClipForm, list[int]], ...] = (
        ("held", [0, 3, 6, 8]),
        ("spread", [0, 3, 7, 8]),
    )
    for form, only in cases:
        short = UniformConfig(num_frames=4, stride=3, num_clips=5, form=form)
        assert {tuple(c.tolist()) for c in uniform_clips(9, short, rng)} == {tuple(only)}


@given(length=lengths, num_frames=frames, stride=strides, seed=seeds, n=st.integers(1, 4))
def test_one_clip_in_each_part(length: int, num_frames: int, stride: int, seed: int, n: int):
    """V-JEPA's rule, word by word: where a part is longer than a clip, one anywhere in it; else clips
    start as far apart as all of the video allows.
    """
    config = UniformConfig(
        num_frames=num_frames, stride=stride, num_clips=n, form="spread", one_in_each_part=True
    )
    clips = uniform_clips(length, config, np.random.default_rng(seed))
    part, covered = length // n, num_frames * stride
    assert len(clips) == n
    for number, clip in enumerate(clips):
        if part > covered:
            assert number * part <= clip[0]
            assert clip[-1] < (number + 1) * part
        else:
            step = (length - covered) // (n - 1) if n > 1 and length > covered else 0
            assert clip[0] == min(number * step, length - 1)
        # The frames that testing has from that start.
        assert clip.tolist() == spread_clip(int(clip[0]), length, config).tolist()


def test_every_start_in_a_part_is_drawn_as_often_as_another() -> None:
    config = UniformConfig(num_frames=2, stride=3, num_clips=2, form="held", one_in_each_part=True)
    rng = np.random.default_rng(3)
    drawn = [[int(c[0]) for c in uniform_clips(30, config, rng)] for _ in range(3000)]
    # Parts of 15 frames, clips that cover 6: nine starts.
    for starts, first in zip(zip(*drawn, strict=True), (0, 15), strict=True):
        counts = np.bincount(np.array(starts) - first, minlength=9)
        assert len(counts) == 9
        assert stats.chisquare(counts).pvalue > 1e-4


def test_parts_do_not_loop() -> None:
    with pytest.raises(ValidationError, match='goes with form "held" or "spread"'):
        UniformConfig(one_in_each_part=True)


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
