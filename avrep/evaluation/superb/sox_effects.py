"""The two effects of SoX that SUPERB's recipes hear speech through."""

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from avrep.evaluation.sound.recordings import RATE_HZ

_WINDOW = RATE_HZ // 50
_DURATION = RATE_HZ // 10
_THRESHOLD = 0.001


def gain(wave: Tensor, gain_db: float = -3.0) -> Tensor:
    """SoX's `gain`: float32[s] louder by so many decibels."""
    return wave * 10 ** (gain_db / 20)


def trim_silence(wave: Tensor) -> Tensor:
    """SoX's `silence 1 0.1 0.1% -1 0.1 0.1%`: sound begins and ends with 0.1 s of its kind.

    A sample is loud when the root mean square of the last 20 ms, itself included, is 0.1% of full
    scale or more. All up to the first 0.1 s of nothing but loud samples is dropped; then all is kept up
    to the first 0.1 s of none; that is dropped, the 20 ms begin anew, and so on. Silence that is
    shorter stays, also at the end.

    Restated from SoX's source (silence.c of 14.4) in floating point. SoX itself measures with the bits
    of the file's samples, so of 16 bit: a level within 1.5% of the threshold may go the other way.

    Args:
        wave: float32[s], mono at 16 kHz in [-1, 1].

    Returns:
        float32[at most s]; none where no 0.1 s is loud.
    """
    samples = wave.double().numpy()
    kept: list[npt.NDArray[np.float64]] = []
    place = 0
    while place < len(samples):
        rest = samples[place:]
        loud = _loudness(rest) >= _THRESHOLD
        first = _first_run(loud, 0)
        if first is None:
            break
        last = _first_run(~loud, first + _DURATION)
        if last is None:
            kept.append(rest[first:])
            break
        kept.append(rest[first:last])
        place += last + _DURATION
    joined = np.concatenate(kept) if kept else np.zeros(0)
    return torch.from_numpy(joined).float()


def _loudness(samples: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Root mean square of the last 20 ms at each sample; before the first there is silence."""
    energy = np.cumsum(np.concatenate([np.zeros(_WINDOW), samples**2]))
    own = np.maximum(energy[_WINDOW:] - energy[: len(samples)], 0)
    return np.sqrt(own / _WINDOW)


def _first_run(marks: npt.NDArray[np.bool_], begin: int) -> int | None:
    """Where 0.1 s of nothing but marks first starts, at `begin` or later."""
    edges = np.diff(np.concatenate([[False], marks[begin:], [False]]).astype(np.int8))
    starts, ends = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
    long_enough = np.flatnonzero(ends - starts >= _DURATION)
    return begin + int(starts[long_enough[0]]) if len(long_enough) else None
