"""Speech-like sound with known segments: voiced vowels and hissed consonants in words with pauses.

Vowels are sums of the harmonics of a gliding voice, weighed by the resonances of a vocal tract
(source and filter: Fant, "Acoustic Theory of Speech Production", 1960) at the mean formants of
Peterson and Barney, "Control methods used in a study of the vowels", JASA 1952.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from avrep.media.synth_scene import Draw, SynthConfig
from avrep.rng import Stage, at
from avrep.types import Address, Audio
from avrep.units import num_samples

_FORMANTS_HZ = {
    "i": (270.0, 2290.0, 3010.0),
    "e": (530.0, 1840.0, 2480.0),
    "a": (730.0, 1090.0, 2440.0),
    "o": (570.0, 840.0, 2410.0),
    "u": (300.0, 870.0, 2240.0),
}
_BANDWIDTHS_HZ = (80.0, 100.0, 140.0)
# Centre and width of a hiss as shares of the rate, which is taken as 16 kHz where it is higher.
_HISSES = {"s": (0.34, 0.05), "sh": (0.18, 0.05)}
_NUM_HARMONICS = 48
_VOWEL_RMS, _HISS_RMS, _FLOOR_RMS = 0.1, 0.05, 0.0003
_EDGE_S = 0.008
_END_PAUSE_S = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """One sound of an utterance, filling [start_sample, end_sample)."""

    start_sample: int
    end_sample: int
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Utterance:
    """Everything that is drawn for one recording. What no segment covers is a pause."""

    index: int
    seed: int
    rate_hz: int
    num_samples: int
    segments: tuple[Segment, ...]
    voice_hz: float
    """Mean pitch of the speaker."""
    tract: float
    """Formants of the speaker as a multiple of the mean ones: shorter tracts have larger ones."""


def utterance(config: SynthConfig, index: int) -> Utterance:
    """The plan of speech item `index`: a pure function of the config's seed and form and the index."""
    rng = at(config.seed, Stage.SYNTH, Address(0, index, Draw.UTTERANCE))
    segments: list[Segment] = []
    end_s = config.duration_s - _END_PAUSE_S
    now_s = rng.uniform(0.1, 0.3)
    while now_s < end_s:
        for label, length_s in _word(rng):
            if now_s + length_s > end_s:
                now_s = end_s
                break
            start, now_s = now_s, now_s + length_s
            segments.append(
                Segment(
                    start_sample=num_samples(0.0, start, config.rate_hz),
                    end_sample=num_samples(0.0, now_s, config.rate_hz),
                    label=label,
                )
            )
        now_s += rng.uniform(0.12, 0.35)
    return Utterance(
        index=index,
        seed=config.seed,
        rate_hz=config.rate_hz,
        num_samples=num_samples(0.0, config.duration_s, config.rate_hz),
        segments=tuple(segments),
        voice_hz=rng.uniform(95.0, 230.0),
        tract=rng.uniform(0.92, 1.18),
    )


def render_speech(plan: Utterance) -> Audio:
    """float32[s] in [-1, 1]: the sound of an utterance."""
    rng = at(plan.seed, Stage.SYNTH, Address(0, plan.index, Draw.VOICE))
    times_s = np.arange(plan.num_samples) / plan.rate_hz
    glide = 1.0 + 0.06 * np.sin(2 * np.pi * (1.7 * times_s + rng.uniform()))
    voice_hz = plan.voice_hz * glide * (1.1 - 0.2 * times_s / times_s[-1])
    phase = 2 * np.pi * np.cumsum(voice_hz) / plan.rate_hz
    sound = rng.normal(0.0, _FLOOR_RMS, plan.num_samples)
    for segment in plan.segments:
        span = slice(segment.start_sample, segment.end_sample)
        if segment.label in _HISSES:
            wave = _HISS_RMS * _hiss(segment, plan.rate_hz, rng)
        else:
            formants_hz = plan.tract * np.array(_FORMANTS_HZ[segment.label])
            wave = _VOWEL_RMS * _vowel(phase[span], voice_hz[span], formants_hz, plan.rate_hz)
        sound[span] += wave * _envelope(wave.size, plan.rate_hz)
    return np.clip(sound, -1.0, 1.0).astype(np.float32)


def _word(rng: np.random.Generator) -> list[tuple[str, float]]:
    """(label, length in seconds) of the sounds of one to three syllables."""
    sounds: list[tuple[str, float]] = []
    for _ in range(rng.integers(1, 4)):
        if rng.uniform() < 0.5:
            sounds.append((str(rng.choice(list(_HISSES))), rng.uniform(0.06, 0.12)))
        sounds.append((str(rng.choice(list(_FORMANTS_HZ))), rng.uniform(0.1, 0.24)))
    return sounds


def _vowel(
    phase: npt.NDArray[np.float64],
    voice_hz: npt.NDArray[np.float64],
    formants_hz: npt.NDArray[np.float64],
    rate_hz: int,
) -> npt.NDArray[np.float64]:
    orders = np.arange(1, _NUM_HARMONICS + 1)
    partials_hz = orders * np.mean(voice_hz)
    # The glottis falls by 12 dB an octave and the lips give 6 back.
    gain = np.where(partials_hz < 0.45 * rate_hz, 1.0 / orders, 0.0)
    for formant_hz, bandwidth_hz in zip(formants_hz, _BANDWIDTHS_HZ, strict=True):
        gain *= formant_hz**2 / np.hypot(formant_hz**2 - partials_hz**2, bandwidth_hz * partials_hz)
    audible = gain > 0
    return _levelled(gain[audible] @ np.sin(orders[audible, None] * phase))


def _hiss(segment: Segment, rate_hz: int, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    length = segment.end_sample - segment.start_sample
    centre, width = (share * min(rate_hz, 16000) for share in _HISSES[segment.label])
    spectrum = np.fft.rfft(rng.normal(size=length))
    frequency_hz = np.fft.rfftfreq(length, 1 / rate_hz)
    band = np.exp(-(((frequency_hz - centre) / width) ** 2))
    return _levelled(np.fft.irfft(spectrum * band, length))


def _levelled(wave: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return wave / np.sqrt(np.mean(wave**2))


def _envelope(length: int, rate_hz: int) -> npt.NDArray[np.float64]:
    # Every sound rises and falls within its own bounds, so that the bounds are the truth.
    edge = round(_EDGE_S * rate_hz)
    rise = 0.5 - 0.5 * np.cos(np.pi * (np.arange(edge) + 0.5) / edge)
    return np.concatenate([rise, np.ones(length - 2 * edge), rise[::-1]])
