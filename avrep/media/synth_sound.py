"""Sound of a scene, bound to its picture, and the beep that timing tests look for.

Pitch follows height, loudness follows size, and every strike of the shape clicks. Timbre and the
faint hiss are drawn apart from all labels.
"""

import numpy as np
import numpy.typing as npt

from avrep.media.synth_motion import poses, strikes_s
from avrep.media.synth_scene import Draw, Scene
from avrep.rng import Stage, at
from avrep.types import Address, Audio
from avrep.units import num_samples, sample_at

_LOW_HZ, _OCTAVES = 220.0, 2.0
_TONE_LEVEL, _CLICK_LEVEL, _HISS_LEVEL = 0.12, 0.55, 0.002


def pitch_hz(scene: Scene, times_s: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Pitch at each time: 220 Hz when the shape's centre is at the bottom edge, 880 Hz at the top."""
    height = 1.0 - poses(scene, times_s).y_px / scene.height_px
    return _LOW_HZ * 2 ** (_OCTAVES * height)


def render_sound(scene: Scene) -> Audio:
    """float32[s] in [-1, 1]: the scene's sound, exactly as long as its picture."""
    rng = at(scene.seed, Stage.SYNTH, Address(0, scene.index, Draw.SOUND))
    total = num_samples(0.0, scene.duration_s, scene.rate_hz)
    times_s = np.arange(total) / scene.rate_hz
    # The phase is the integral of the pitch, so a jump in pitch makes no jump in the wave.
    phase = 2 * np.pi * np.cumsum(pitch_hz(scene, times_s)) / scene.rate_hz
    weights = np.array([1.0, *rng.uniform(0.1, 0.6, 2)])
    tone = sum(
        (weight * np.sin(order * phase) for order, weight in enumerate(weights, start=1)),
        np.zeros(total),
    ) / np.sum(weights)
    loudness = (poses(scene, times_s).radius_px / scene.radius_px) ** 1.5
    sound = _TONE_LEVEL * loudness * tone + rng.normal(0.0, _HISS_LEVEL, total)
    for strike_s in strikes_s(scene):
        start = sample_at(strike_s, scene.rate_hz)
        burst = _CLICK_LEVEL * _click(scene.rate_hz)[: max(0, total - start)]
        sound[start : start + burst.size] += burst
    return sound.astype(np.float32)


def beep(rate_hz: int) -> Audio:
    """float32[s]: a chirp of 20 ms, at full level one millisecond after its first sample.

    Its autocorrelation has one sharp peak, so that the best match of this template in a decoded
    sound lies on the sample where the beep begins, even after AAC.
    """
    length_s = 0.02
    times_s = np.arange(round(length_s * rate_hz)) / rate_hz
    low_hz, high_hz = 600.0, 3200.0
    phase = 2 * np.pi * times_s * (low_hz + (high_hz - low_hz) * times_s / (2 * length_s))
    edge = np.clip(np.minimum(times_s, length_s - times_s) / 0.001, 0.0, 1.0)
    return (0.7 * edge * np.sin(phase)).astype(np.float32)


def _click(rate_hz: int) -> npt.NDArray[np.float64]:
    times_s = np.arange(round(0.03 * rate_hz)) / rate_hz
    return np.exp(-times_s / 0.005) * np.cos(2 * np.pi * 2300.0 * times_s)
