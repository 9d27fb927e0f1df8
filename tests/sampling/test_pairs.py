"""Proves CVRL's pair sampler: the interval law by chi-square and against two inverses, the laws of
start and order, the short-video rule, and ranges and strides for any length.
"""

import itertools

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import integrate, stats

from avrep.sampling.pairs import (
    PairConfig,
    interval_by_bisection,
    interval_cdf,
    interval_in_closed_form,
    sample_pair,
)

units = st.floats(0, 1, exclude_max=True)
intervals = st.integers(1, 5000)


def released_bisection(u: float, m: int, power: float) -> int:
    """The published loop, restated on floats: it carries its probe along instead of a midpoint."""
    low, high, probe = 0.0, float(m), m // 2
    while abs(high - low) > 1:
        value = -(probe ** (power + 1)) / (power * m ** (power + 1)) + probe * (power + 1) / (
            power * m
        )
        if value > u:
            high = probe
        else:
            low = probe
        probe = (low + high) // 2
    return int(probe)


def far_from_a_step(u: float, m: int, power: float) -> bool:
    """Where u hits F of a whole number, either neighbour is right."""
    k = released_bisection(u, m, power)
    return all(abs(u - interval_cdf(near, m, power)) > 1e-9 for near in (k, k + 1) if 0 < near <= m)


@given(u=units, m=intervals)
def test_closed_form_equals_bisection_for_power_one(u: float, m: int):
    assume(far_from_a_step(u, m, 1.0))
    assert interval_in_closed_form(u, m) == interval_by_bisection(u, m, 1.0)


@given(u=units, m=intervals, power=st.floats(0.25, 6))
def test_bisection_equals_the_released_loop(u: float, m: int, power: float):
    assume(far_from_a_step(u, m, power))
    assert interval_by_bisection(u, m, power) == released_bisection(u, m, power)


@given(u=units, m=intervals, power=st.floats(0.25, 6))
def test_bisection_inverts_the_law(u: float, m: int, power: float):
    k = interval_by_bisection(u, m, power)
    assert 0 <= k < m
    assert interval_cdf(k, m, power) <= u + 1e-12
    assert interval_cdf(k + 1, m, power) >= u - 1e-12


@pytest.mark.parametrize("u", [0.0, 1 - 2**-53])
@pytest.mark.parametrize("m", [1, 2, 70, 10**6])
def test_the_ends_of_the_law(u: float, m: int):
    expected = 0 if u == 0 else m - 1
    assert interval_in_closed_form(u, m) == expected
    assert interval_by_bisection(u, m, 1.0) == expected


def test_closed_form_by_hand():
    # M (1 - sqrt(1 - u)): 70 * (1 - 0.5) = 35, 70 * (1 - 0.8) = 14, 10 * (1 - sqrt(0.19)) = 5.64.
    assert interval_in_closed_form(0.75, 70) == 35
    assert interval_in_closed_form(0.3601, 70) == 14
    assert interval_in_closed_form(0.81, 10) == 5


@pytest.mark.parametrize("power", [0.5, 1.0, 3.0])
@pytest.mark.parametrize("k", [0, 1, 13, 69, 70])
def test_cdf_is_the_integral_of_the_stated_density(power: float, k: int):
    mass, _ = integrate.quad(lambda x: 1 - (x / 70) ** power, 0, 70)
    part, _ = integrate.quad(lambda x: 1 - (x / 70) ** power, 0, k)
    assert interval_cdf(k, 70, power) == pytest.approx(part / mass, abs=1e-9)


def drawn_starts(length: int, config: PairConfig, draws: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.array(
        [[int(clip[0]) for clip in sample_pair(length, config, rng)] for _ in range(draws)]
    )


@pytest.mark.parametrize("power", [1.0, 2.5])
def test_interval_histogram_follows_the_law(power: float):
    # L = 60, n = 16, s = 2: M = 60 - 30 = 30 starts.
    draws = 20_000
    starts = drawn_starts(60, PairConfig(power=power), draws, seed=3)
    counts = np.bincount(np.abs(starts[:, 0] - starts[:, 1]), minlength=30)
    assert len(counts) == 30
    if power == 1.0:
        # Integral of f(x) = 2/M (1 - x/M) over [k, k + 1), by hand.
        expected = np.array([2 / 30 * (1 - (k + 0.5) / 30) for k in range(30)])
    else:
        edges = np.array([interval_cdf(k, 30, power) for k in range(31)])
        expected = np.diff(edges)
    assert expected.sum() == pytest.approx(1)
    assert stats.chisquare(counts, expected * draws).pvalue > 1e-4
    # The test can tell: a uniform law would fail it.
    assert stats.chisquare(counts).pvalue < 1e-6


def test_earlier_start_is_uniform_given_the_interval():
    starts = drawn_starts(36, PairConfig(), 20_000, seed=4)
    earlier, interval = starts.min(axis=1), np.abs(starts[:, 0] - starts[:, 1])
    for k in range(4):
        counts = np.bincount(earlier[interval == k], minlength=6 - k)
        assert len(counts) == 6 - k
        assert stats.chisquare(counts).pvalue > 1e-4


def test_order_of_the_two_is_a_fair_coin():
    starts = drawn_starts(200, PairConfig(), 4000, seed=5)
    apart = starts[starts[:, 0] != starts[:, 1]]
    first_is_earlier = int((apart[:, 0] < apart[:, 1]).sum())
    assert stats.binomtest(first_is_earlier, len(apart)).pvalue > 1e-4


@pytest.mark.parametrize("length", [30, 7])
def test_short_videos_draw_two_independent_uniform_starts(length: int):
    starts = drawn_starts(length, PairConfig(), 12_000, seed=6)
    for column in starts.T:
        counts = np.bincount(column, minlength=length)
        assert len(counts) == length
        assert stats.chisquare(counts).pvalue > 1e-4
    table = np.histogram2d(starts[:, 0], starts[:, 1], bins=7)[0]
    independent = np.outer(table.sum(axis=1), table.sum(axis=0)) / table.sum()
    assert stats.chisquare(table.ravel(), independent.ravel(), ddof=12).pvalue > 1e-4


def test_a_clip_that_just_fits_has_one_start():
    assert (drawn_starts(31, PairConfig(), 50, seed=0) == 0).all()


def test_clips_of_one_frame_keep_the_law():
    starts = drawn_starts(10, PairConfig(num_frames=1, stride=1), 8000, seed=8)
    counts = np.bincount(np.abs(starts[:, 0] - starts[:, 1]), minlength=10)
    expected = np.array([2 / 10 * (1 - (k + 0.5) / 10) for k in range(10)])
    assert stats.chisquare(counts, expected * 8000).pvalue > 1e-4


@given(
    length=st.integers(1, 2000),
    num_frames=st.integers(1, 64),
    stride=st.integers(1, 16),
    power=st.sampled_from([0.5, 1.0, 3.0]),
    seed=st.integers(0, 2**32),
)
def test_pairs_stay_inside_and_keep_their_stride(
    length: int, num_frames: int, stride: int, power: float, seed: int
):
    config = PairConfig(num_frames=num_frames, stride=stride, power=power)
    pair = sample_pair(length, config, np.random.default_rng(seed))
    for clip in pair:
        assert clip.dtype == np.int64
        assert clip.shape == (num_frames,)
        assert clip.min() >= 0
        assert clip.max() < length
        assert ((np.diff(clip) - stride) % length == 0).all()
        if length > (num_frames - 1) * stride:
            assert (np.diff(clip) == stride).all()


def test_pair_is_a_function_of_its_generator():
    draws = [np.stack(sample_pair(500, PairConfig(), np.random.default_rng(s))) for s in range(8)]
    again = [np.stack(sample_pair(500, PairConfig(), np.random.default_rng(s))) for s in range(8)]
    assert all((one == two).all() for one, two in zip(draws, again, strict=True))
    assert any((one != two).any() for one, two in itertools.pairwise(draws))
