"""Proves that crops of sound lie within their item, are uniform and have the length asked for."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy import stats

from avrep.errors import MediaError
from avrep.sampling.sound import SoundConfig, sound_crop


@given(crop_s=st.floats(0.1, 60), duration_s=st.floats(0.1, 4000), seed=st.integers(0, 2**32 - 1))
def test_a_crop_lies_within_its_item(crop_s: float, duration_s: float, seed: int) -> None:
    config = SoundConfig(duration_s=crop_s, min_s=0.1)
    start_s, end_s = sound_crop(duration_s, config, np.random.default_rng(seed))
    if duration_s <= crop_s:
        assert (start_s, end_s) == (0.0, duration_s)
    else:
        assert 0 <= start_s < end_s <= duration_s * (1 + 1e-12)
        assert end_s - start_s == pytest.approx(crop_s, rel=1e-9)


def test_starts_are_uniform_over_those_from_which_the_crop_fits() -> None:
    rng = np.random.default_rng(0)
    starts = [sound_crop(10, SoundConfig(duration_s=4, min_s=0), rng)[0] for _ in range(2000)]
    assert stats.kstest(starts, stats.uniform(0, 6).cdf).pvalue > 0.01


def test_one_number_is_drawn_whatever_the_length() -> None:
    after = []
    for duration_s in (3.0, 15.625, 100.0):
        rng = np.random.default_rng(5)
        sound_crop(duration_s, SoundConfig(), rng)
        after.append(rng.random())
    assert len(set(after)) == 1


def test_the_defaults_are_the_published_numbers_of_samples() -> None:
    assert SoundConfig().duration_s * 16000 == 250_000
    assert SoundConfig().min_s * 16000 == 32_000


def test_sound_that_is_too_short_or_has_no_length_is_refused() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(MediaError, match=r"audio: lasts 1.990 s, shorter than min_s 2.0"):
        sound_crop(1.99, SoundConfig(), rng)
    for duration_s in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(MediaError, match="audio: duration is"):
            sound_crop(duration_s, SoundConfig(min_s=0), rng)


@pytest.mark.parametrize(
    "wrong", [{"duration_s": 0}, {"duration_s": 1.0}, {"min_s": -1}, {"kind": "pair"}]
)
def test_a_wrong_config_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        SoundConfig.model_validate(wrong)
