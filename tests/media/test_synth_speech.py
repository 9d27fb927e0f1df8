"""Proves that speech items are what their segments say: sound inside, pause outside, vowels with
their formants, hisses without a pitch.
"""

from functools import cache

import numpy as np
import pytest

from avrep.media.synth_scene import SynthConfig
from avrep.media.synth_speech import Utterance, render_speech, utterance

CONFIG = SynthConfig()
PLANS = [utterance(CONFIG, index) for index in range(40)]
# Where the tract resonates most: in "a" and "o" two formants lie close and are equally strong.
FORMANTS_HZ = {"i": (270,), "e": (530,), "a": (730, 1090), "o": (570, 840), "u": (300,)}


def band_energy(sound: np.ndarray, low_hz: float, high_hz: float) -> float:
    power = abs(np.fft.rfft(sound * np.hanning(sound.size))) ** 2
    hz = np.fft.rfftfreq(sound.size, 1 / CONFIG.rate_hz)
    return float(power[(hz >= low_hz) & (hz < high_hz)].sum() / power.sum())


@cache
def rendered(index: int) -> np.ndarray:
    return render_speech(PLANS[index])


def spoken(plan: Utterance, label: str) -> list[np.ndarray]:
    sound = rendered(plan.index)
    return [sound[s.start_sample : s.end_sample] for s in plan.segments if s.label == label]


def flat_spectrum(sound: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(frequencies in Hz, amplitudes with the voice's fall of 6 dB an octave taken out)."""
    hz = np.fft.rfftfreq(1 << 14, 1 / CONFIG.rate_hz)
    return hz, abs(np.fft.rfft(sound * np.hanning(sound.size), 1 << 14)) * hz


def test_segments_are_in_order_apart_and_inside() -> None:
    for plan in PLANS:
        edges = [edge for s in plan.segments for edge in (s.start_sample, s.end_sample)]
        assert edges == sorted(edges)
        assert all(s.start_sample < s.end_sample for s in plan.segments)
        assert edges[0] >= 0.1 * CONFIG.rate_hz
        assert edges[-1] <= plan.num_samples - round(0.1 * CONFIG.rate_hz)
        gaps = np.array(edges[2::2]) - np.array(edges[1:-1:2])
        assert np.all((gaps == 0) | (gaps >= 0.11 * CONFIG.rate_hz))
        assert (gaps > 0).any()


def test_every_kind_of_sound_occurs_and_most_are_vowels() -> None:
    labels = [s.label for plan in PLANS for s in plan.segments]
    assert set(labels) == {"i", "e", "a", "o", "u", "s", "sh"}
    assert sum(label in FORMANTS_HZ for label in labels) > 0.55 * len(labels)


def test_energy_stands_in_the_segments_and_nowhere_else() -> None:
    for plan in PLANS[:12]:
        sound = rendered(plan.index)
        assert sound.dtype == np.float32
        assert sound.shape == (plan.num_samples,) == (48000,)
        silent = np.ones(sound.size, bool)
        for segment in plan.segments:
            span = slice(segment.start_sample, segment.end_sample)
            silent[span] = False
            hiss = segment.label in ("s", "sh")
            assert sound[span].std() == pytest.approx(0.05 if hiss else 0.1, rel=0.15)
            # Heard within 5 ms of either bound.
            edge = CONFIG.rate_hz // 200
            assert abs(sound[span][:edge]).max() > 0.005
            assert abs(sound[span][-edge:]).max() > 0.005
        assert sound[silent].std() == pytest.approx(0.0003, rel=0.1)
        assert abs(sound).max() < 1.0


@pytest.mark.parametrize("vowel", FORMANTS_HZ)
def test_a_vowel_is_loudest_near_its_strongest_formant(vowel: str) -> None:
    heard = [(plan, sound) for plan in PLANS for sound in spoken(plan, vowel)]
    assert len(heard) >= 5
    for plan, sound in heard:
        hz, amplitude = flat_spectrum(sound)
        # The nearest harmonic of the voice may be half a harmonic away, and glides meanwhile.
        found_hz = hz[np.argmax(amplitude)]
        apart_hz = [abs(found_hz - formant * plan.tract) for formant in FORMANTS_HZ[vowel]]
        assert min(apart_hz) < 0.75 * plan.voice_hz


def test_second_formants_tell_front_vowels_from_back_ones() -> None:
    for plan in PLANS[:20]:
        for vowel, front in (("i", True), ("e", True), ("o", False), ("u", False)):
            for sound in spoken(plan, vowel):
                hz, amplitude = flat_spectrum(sound)
                front_peak = amplitude[(hz > 1650 * plan.tract) & (hz < 2500 * plan.tract)].max()
                back_peak = amplitude[(hz > 780 * plan.tract) & (hz < 1100 * plan.tract)].max()
                assert (front_peak > back_peak) == front, vowel


def test_hisses_lie_high_and_apart() -> None:
    for plan in PLANS[:20]:
        for sound in spoken(plan, "s"):
            assert band_energy(sound, 4000, 7500) > 0.9
        for sound in spoken(plan, "sh"):
            assert band_energy(sound, 1500, 4000) > 0.9


def test_an_utterance_depends_on_seed_and_index_alone() -> None:
    assert utterance(SynthConfig(num_speech=3, num_videos=0), 7) == PLANS[7]
    assert utterance(SynthConfig(seed=1), 7).segments != PLANS[7].segments
    assert np.array_equal(render_speech(PLANS[7]), render_speech(PLANS[7]))


def test_the_shortest_recording_still_speaks() -> None:
    short = SynthConfig(duration_s=1.0, rate_hz=8000)
    for index in range(50):
        plan = utterance(short, index)
        assert plan.segments
        assert render_speech(plan).shape == (8000,)
