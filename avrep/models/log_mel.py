"""Log-mel spectrograms as AST and its successors see them, a batch at a time on any device."""

from functools import lru_cache

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional
from torchaudio.compliance.kaldi import get_mel_banks

from avrep.frozen import FrozenConfig
from avrep.transfer import to_device

RATE_HZ = 16_000
_WINDOW = 400
_SHIFT = 160
_FFT = 512
_LOW_HZ = 20.0
_PREEMPHASIS = 0.97


class LogMelConfig(FrozenConfig):
    """The spectrogram of AST (arXiv 2104.01778), SSAST and AudioMAE; the defaults are AudioSet's."""

    num_bins: int = Field(default=128, ge=4, le=512)
    num_frames: int = Field(default=1024, ge=1, le=2**16)
    """Frames of 10 ms; a longer sound is cut, a shorter one padded at the end. AST has 1024 for
    AudioSet, 512 for ESC-50, 128 for Speech Commands."""
    mean: float = -4.2677393
    """Subtracted. ESC-50: -6.6268077; Speech Commands: -6.845978."""
    std: float = Field(default=4.5689974, gt=0)
    """Divided by twice this. ESC-50: 5.358466; Speech Commands: 5.5654526."""


def log_mel(audio: Tensor, config: LogMelConfig, num_samples: Tensor | None = None) -> Tensor:
    """Kaldi's filter bank energies: windows of 25 ms (Hann) every 10 ms, from 20 Hz to 8 kHz.

    The released code first takes the recording's mean from the waveform; since each window's own
    mean is taken from it anyway, that changes nothing, and is left out. Frames after the sound's end
    are zero before normalisation, as there, so that they become -mean / (2 std).

    Computed in float32 whatever the autocast.

    Args:
        audio: float[b s], mono, 16 kHz.
        config: sizes and constants.
        num_samples: int64[b], on any device: samples of each row that count; None: all.

    Returns:
        float32[b num_frames num_bins].
    """
    with torch.autocast(audio.device.type, enabled=False):
        energies = _energies(audio.float(), config.num_bins)
    if num_samples is not None:
        frames = torch.arange(energies.shape[1], device=audio.device)
        ends = to_device(num_frames_each(num_samples), audio.device)
        energies = energies * (frames < ends[:, None])[..., None]
    missing = config.num_frames - energies.shape[1]
    # A negative pad cuts.
    fitted = functional.pad(energies, (0, 0, 0, missing))
    return (fitted - config.mean) / (2 * config.std)


def num_frames(num_samples: int) -> int:
    """Windows that fit into a sound of that many samples."""
    return max(0, (num_samples - _WINDOW) // _SHIFT + 1)


def num_frames_each(num_samples: Tensor) -> Tensor:
    """int64[b] likewise, of int64[b]."""
    return ((num_samples - _WINDOW).div(_SHIFT, rounding_mode="floor") + 1).clamp(min=0)


def samples_of(num_frames: int) -> int:
    """Samples of the shortest sound that so many windows, at least one, fit into."""
    return _WINDOW + (num_frames - 1) * _SHIFT


def _energies(audio: Tensor, num_bins: int) -> Tensor:
    """float32[b t num_bins]: logs of the energies, of every window that fits."""
    if num_frames(audio.shape[1]) == 0:
        return audio.new_zeros(audio.shape[0], 0, num_bins)
    windows = audio.unfold(1, _WINDOW, _SHIFT)
    windows = windows - windows.mean(dim=2, keepdim=True)
    # Each sample less a part of the one before it; before the first stands itself.
    before = torch.cat([windows[..., :1], windows[..., :-1]], dim=2)
    shape = torch.hann_window(_WINDOW, periodic=False, device=audio.device)
    spectrum = torch.fft.rfft((windows - _PREEMPHASIS * before) * shape, n=_FFT)
    power = spectrum.real.square() + spectrum.imag.square()
    banks = to_device(_banks(num_bins), audio.device)
    return (power[..., : _FFT // 2] @ banks.T).clamp(min=torch.finfo(torch.float32).eps).log()


@lru_cache
def _banks(num_bins: int) -> Tensor:
    banks, _ = get_mel_banks(num_bins, _FFT, RATE_HZ, _LOW_HZ, 0.0, 100.0, -500.0, 1.0)
    return banks
