"""Proves the MFCCs: Kaldi's recipe written out in numpy, and slopes by hand."""

import math
from typing import Any

import numpy as np
import pytest
import torch

from avrep.models.mfcc import mfcc_with_deltas


def _mel(frequency_hz: Any) -> Any:
    return 1127 * np.log(1 + frequency_hz / 700)


def _cepstra(sound: np.ndarray) -> np.ndarray:
    """float64[n 13]: Kaldi's compute-mfcc-feats without energy and dither."""
    frames = []
    window = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 399)) ** 0.85
    edges = np.linspace(_mel(20), _mel(8000), 25)
    bins = _mel(np.arange(257) * 16000 / 512)
    up = (bins - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    down = (edges[2:, None] - bins) / (edges[2:] - edges[1:-1])[:, None]
    filters = np.maximum(0, np.minimum(up, down))
    filters[:, 256] = 0
    for start in range(0, len(sound) - 399, 160):
        x = sound[start : start + 400].astype(np.float64)
        x = x - x.mean()
        x = x - 0.97 * np.concatenate([x[:1], x[:-1]])
        power = np.abs(np.fft.rfft(x * window, 512)) ** 2
        log_mel = np.log(np.maximum(filters @ power, np.finfo(np.float32).eps))
        row = []
        for k in range(13):
            scale = math.sqrt((1 if k == 0 else 2) / 23)
            basis = np.cos(math.pi * k * (np.arange(23) + 0.5) / 23)
            lifter = 1 + 11 * math.sin(math.pi * k / 22)
            row.append(lifter * scale * (basis @ log_mel))
        frames.append(row)
    return np.array(frames)


def _slopes(values: np.ndarray) -> np.ndarray:
    padded = np.concatenate([values[:1]] * 2 + [values] + [values[-1:]] * 2)
    return np.array(
        [
            ((padded[j + 3] - padded[j + 1]) + 2 * (padded[j + 4] - padded[j])) / 10
            for j in range(len(values))
        ]
    )


def test_it_equals_kaldi_s_recipe_in_numpy() -> None:
    sound = 0.1 * np.random.default_rng(0).standard_normal(4000)
    sound += 0.3 * np.sin(2 * np.pi * 440 * np.arange(4000) / 16000)
    out = mfcc_with_deltas(torch.from_numpy(sound).float())
    cepstra = _cepstra(sound)
    slopes = _slopes(cepstra)
    assert out.shape == (23, 39)
    assert out.dtype == torch.float32
    expected = np.concatenate([cepstra, slopes, _slopes(slopes)], axis=1)
    np.testing.assert_allclose(out.numpy(), expected, atol=2e-2)
    assert np.abs(cepstra).max() > 10


def test_a_hundred_frames_a_second_as_far_as_they_fit() -> None:
    for num_samples, frames in [(400, 1), (559, 1), (560, 2), (16000, 98)]:
        assert mfcc_with_deltas(torch.rand(num_samples)).shape == (frames, 39)


@pytest.mark.parametrize("wrong", [torch.rand(399), torch.rand(1, 800), torch.ones(800).int()])
def test_anything_else_is_refused(wrong: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="at least 400 samples; got"):
        mfcc_with_deltas(wrong)
