"""Proves that the sound is bound to the picture: pitch to height, loudness to size, clicks to
strikes; and that the beep is found on its own sample and nowhere else.
"""

from dataclasses import replace

import numpy as np
import pytest

from avrep.media.synth_motion import strikes_s
from avrep.media.synth_scene import Scene, SynthConfig, scene
from avrep.media.synth_sound import beep, pitch_hz, render_sound

RATE_HZ = 16000


def scenes(motion: str) -> list[Scene]:
    drawn = (scene(SynthConfig(), index) for index in range(96))
    return [item for item in drawn if item.motion == motion]


def strongest_hz(sound: np.ndarray) -> float:
    padded = np.fft.rfft(sound * np.hanning(sound.size), 1 << 17)
    return float(np.argmax(abs(padded)) * RATE_HZ / (1 << 17))


def onsets(sound: np.ndarray) -> np.ndarray:
    """Samples at which a jump from one sample to the next is far above the tone's own."""
    loud = np.flatnonzero(abs(np.diff(sound, prepend=sound[:1])) > 0.3)
    return loud[np.diff(loud, prepend=-RATE_HZ) > RATE_HZ // 20]


@pytest.mark.parametrize(
    ("y_px", "hz"), [(95.999, 220.0), (72.0, 311.127), (48.0, 440.0), (0.001, 880.0)]
)
def test_pitch_follows_height(y_px: float, hz: float) -> None:
    item = replace(scenes("left")[0], y_px=y_px)
    assert pitch_hz(item, np.array([1.0]))[0] == pytest.approx(hz, rel=1e-3)
    assert strongest_hz(render_sound(item)) == pytest.approx(hz, abs=1.0)


def test_pitch_glides_with_the_shape() -> None:
    item = replace(scenes("up")[0], y_px=90.0, rate=0.25)
    sound = render_sound(item)
    for start_s in (0.2, 1.0, 1.8, 2.6):
        start = round(start_s * RATE_HZ)
        heard_hz = strongest_hz(sound[start : start + 3200])
        # 24 px a second; the middle of the window stands for it.
        y_px = 90.0 - 24.0 * (start_s + 0.1)
        assert heard_hz == pytest.approx(220 * 4 ** (1 - y_px / 96), rel=0.015)


@pytest.mark.parametrize("motion", ["bounce", "oscillate", "zoom", "left", "up", "rotate"])
def test_every_strike_clicks_and_nothing_else_does(motion: str) -> None:
    for item in scenes(motion)[:4]:
        told = np.array([round(time_s * RATE_HZ) for time_s in strikes_s(item)], int)
        told = told[told < RATE_HZ * item.duration_s - 50]
        heard = onsets(render_sound(item))
        assert heard.shape == told.shape
        assert np.all(abs(heard - told) <= 1)


def test_loudness_follows_size() -> None:
    item = replace(scenes("zoom")[0], rate=0.5, phase=0.0)
    sound = render_sound(item)
    # Largest at 0.5 s, smallest at 1.5 s; the click at the largest is over after 0.1 s.
    largest = sound[round(0.62 * RATE_HZ) : round(0.7 * RATE_HZ)].std()
    smallest = sound[round(1.46 * RATE_HZ) : round(1.54 * RATE_HZ)].std()
    size_ratio = 1.45 ** np.sin(2 * np.pi * 0.5 * 0.66) / 1.45**-1
    assert largest / smallest == pytest.approx(size_ratio**1.5, rel=0.08)


def test_sound_is_as_long_as_the_picture_within_range_and_repeatable() -> None:
    for index in range(24):
        item = scene(SynthConfig(), index)
        sound = render_sound(item)
        assert sound.dtype == np.float32
        assert sound.shape == (round(item.num_frames / item.fps * RATE_HZ),)
        assert abs(sound).max() < 0.95
        assert sound.std() > 0.02
    item = scene(SynthConfig(), 3)
    assert np.array_equal(render_sound(item), render_sound(item))
    assert not np.array_equal(render_sound(item), render_sound(replace(item, seed=1)))


@pytest.mark.parametrize("rate_hz", [8000, 16000, 44100, 48000])
def test_a_beep_matches_itself_on_one_sample_only(rate_hz: int) -> None:
    template = beep(rate_hz)
    assert template.dtype == np.float32
    assert template.size == round(0.02 * rate_hz)
    rng = np.random.default_rng(0)
    sound = rng.normal(0, 0.05, rate_hz // 2)
    sound[1234 : 1234 + template.size] += template
    match = np.correlate(sound, template, "valid")
    assert np.argmax(match) == 1234
    apart = abs(np.arange(match.size) - 1234) > rate_hz // 1000
    assert match[1234] > 1.5 * match[apart].max()
