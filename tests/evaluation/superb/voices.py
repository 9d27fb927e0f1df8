"""What tests of pairs share: voices that are tones, sound files, and an encoder that hears tones."""

import wave
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from avrep.evaluation.sound.upstream import HiddenStates, Upstream
from avrep.evaluation.task_result import EncoderFacts

Sound = npt.NDArray[np.float64]


def voice(number: int, num_samples: int, seed: int = 0) -> Sound:
    """A tone of the voice's own, of 12, with noise of the seed's."""
    times_s = np.arange(num_samples) / 16_000
    noise = np.random.default_rng(seed).normal(size=num_samples)
    return 0.3 * np.sin(2 * np.pi * 400 * (number + 1) * times_s) + 0.001 * noise


def write_sound(path: Path, sound: Sound) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes((np.clip(sound, -1, 1) * 32_767).astype("<i2").tobytes())
    return path


class Bands(Upstream):
    """Frames of 20 ms: a layer that tells nothing but the frame's number, and one of 13 bands of 400 Hz."""

    facts = EncoderFacts(name="bands", digest="0", num_parameters=0)
    num_states = 2
    width = 13
    frame_samples = 320
    min_samples = 320

    def hidden_states(self, waves: Sequence[Tensor]) -> HiddenStates:
        found = [wave[: len(wave) // 320 * 320].reshape(-1, 320) for wave in waves]
        bands = [
            torch.fft.rfft(each).abs()[:, :104].reshape(-1, 13, 8).sum(dim=2) for each in found
        ]
        tells = pad_sequence([(each + 1).log() for each in bands], batch_first=True)
        numbers = torch.arange(tells.shape[1])[None, :, None].expand_as(tells).float() % 7
        return HiddenStates(
            states=torch.stack([numbers, tells]),
            num_frames=torch.tensor([len(each) for each in found]),
        )
