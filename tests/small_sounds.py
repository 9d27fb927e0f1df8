"""Sounds small enough to be measured in a test, and encoders made by hand."""

import wave
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from avrep.evaluation.sound.recordings import RATE_HZ, Recording
from avrep.evaluation.sound.upstream import HiddenStates, Upstream, joined
from avrep.evaluation.task_result import EncoderFacts


def write_wav(path: Path, samples: npt.NDArray[np.float64], rate_hz: int = RATE_HZ) -> Path:
    """Write mono samples in [-1, 1) with 16 bits; folders are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(rate_hz)
        out.writeframes(np.round(samples * 2**15).astype("<i2").tobytes())
    return path


def tone(
    pitch_hz: float, duration_s: float = 0.1, rate_hz: int = RATE_HZ
) -> npt.NDArray[np.float64]:
    """A sine at a quarter of full scale."""
    times_s = np.arange(round(duration_s * rate_hz)) / rate_hz
    return 0.25 * np.sin(2 * np.pi * pitch_hz * times_s)


def recording(path: Path, speaker: str = "") -> Recording:
    """A whole file by its name."""
    return Recording(key=path.name, path=path, speaker=speaker)


class Moments(Upstream):
    """Frames of 100 samples: state 0 is their mean, state 1 their deviation, each 3 wide.

    Args:
        factor: all states are multiplied by it.
    """

    def __init__(self, factor: float = 1.0) -> None:
        self.facts = EncoderFacts(name="moments", digest=f"moments {factor}", num_parameters=0)
        self.num_states, self.width = 2, 3
        self.frame_samples = self.min_samples = 100
        self.num_heard = 0
        self._factor = factor

    def hidden_states(self, waves: Sequence[Tensor]) -> HiddenStates:
        self.num_heard += len(waves)
        return joined([self._factor * self._states(wave) for wave in waves])

    @staticmethod
    def _states(wave: Tensor) -> Tensor:
        frames = wave[: len(wave) // 100 * 100].unflatten(0, (-1, 100))
        both = torch.stack([frames.mean(dim=1), frames.std(dim=1)])
        return both[..., None] * torch.tensor([1.0, 2.0, 3.0])
