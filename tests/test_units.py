"""Each rounding rule at its edges, by hand and against exact fractions."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avrep import units

rates = st.sampled_from(
    [Fraction(24), Fraction(25), Fraction(30000, 1001), Fraction(15), Fraction(60)]
)


@given(frame=st.integers(0, 10**6), fps=rates)
def test_a_frame_is_found_at_its_start_middle_and_just_before_its_end(
    frame: int, fps: Fraction
) -> None:
    start_s = float(frame / fps)
    assert units.frame_at(start_s, float(fps)) == frame
    assert units.frame_at(units.mid_frame_s(frame, float(fps)), float(fps)) == frame
    assert units.frame_at(float((frame + Fraction(99, 100)) / fps), float(fps)) == frame


@given(num_frames=st.integers(1, 10**6), fps=rates)
def test_a_duration_of_whole_frames_has_that_many(num_frames: int, fps: Fraction) -> None:
    assert units.num_frames(float(num_frames / fps), float(fps)) == num_frames


@pytest.mark.parametrize(
    ("duration_s", "expected"), [(0.0, 1), (0.03, 1), (0.05, 2), (0.04, 1), (0.08, 2)]
)
def test_a_last_frame_cut_short_still_counts(duration_s: float, expected: int) -> None:
    assert units.num_frames(duration_s, 25.0) == expected


@pytest.mark.parametrize(
    ("time_s", "expected"),
    [(0.0, 0), (0.49 / 8000, 0), (0.5 / 8000, 1), (1.49 / 8000, 1), (-0.6 / 8000, -1)],
)
def test_the_nearest_sample(time_s: float, expected: int) -> None:
    assert units.sample_at(time_s, 8000) == expected


@given(
    a=st.floats(0, 1000),
    b=st.floats(0, 1000),
    c=st.floats(0, 1000),
    rate_hz=st.sampled_from([8000, 44100]),
)
def test_adjoining_intervals_adjoin(a: float, b: float, c: float, rate_hz: int) -> None:
    a, b, c = sorted((a, b, c))
    parts = units.num_samples(a, b, rate_hz) + units.num_samples(b, c, rate_hz)
    assert parts == units.num_samples(a, c, rate_hz)
