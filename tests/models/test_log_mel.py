"""Proves that spectrograms are Kaldi's, row by row, and those of AST's published features."""

import math

import pytest
import torch
from torchaudio.compliance.kaldi import fbank

from avrep.models.log_mel import (
    RATE_HZ,
    LogMelConfig,
    log_mel,
    num_frames,
    num_frames_each,
    samples_of,
)

_PLAIN = LogMelConfig(num_frames=64, mean=0.0, std=0.5)
"""Normalisation that changes nothing."""


def _noise(num_samples: int, seed: int = 0) -> torch.Tensor:
    return 0.1 * torch.randn(num_samples, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("num_bins", [23, 128])
def test_each_row_is_kaldis(num_bins: int) -> None:
    config = _PLAIN.model_copy(update={"num_bins": num_bins})
    audio = torch.stack([_noise(8000, seed) + 0.3 for seed in range(3)])
    found = log_mel(audio, config)
    for row, sound in zip(found, audio, strict=True):
        expected = fbank(sound[None], window_type="hanning", num_mel_bins=num_bins)
        assert len(expected) == num_frames(8000) == 48
        torch.testing.assert_close(row[:48], expected, rtol=1e-4, atol=1e-4)
        assert (row[48:] == 0).all()


@pytest.mark.parametrize("num_samples", [0, 399, 400, 559, 560, 7999, 8000])
def test_padding_of_a_batch_does_not_reach_a_row(num_samples: int) -> None:
    sound = _noise(8000)
    sound[num_samples:] = 0
    found = log_mel(sound[None], _PLAIN, torch.tensor([num_samples]))
    alone = log_mel(sound[None, :num_samples], _PLAIN)
    torch.testing.assert_close(found, alone)
    assert (found[0, num_frames(num_samples) :] == 0).all()


def test_a_long_sound_is_cut() -> None:
    sound = _noise(20_000)[None]
    found = log_mel(sound, _PLAIN)
    assert found.shape == (1, 64, 128)
    torch.testing.assert_close(found, log_mel(sound[:, : 400 + 63 * 160], _PLAIN))


def test_a_tone_is_in_its_band() -> None:
    """Of bands equally wide in mel from 20 Hz to 8 kHz, the one whose middle is nearest."""
    times_s = torch.arange(4000) / RATE_HZ
    tone = torch.sin(2 * math.pi * 1000 * times_s)[None]
    low, high, at = (1127 * math.log(1 + hz / 700) for hz in (20, 8000, 1000))
    expected = round((at - low) / ((high - low) / 129)) - 1
    found = log_mel(tone, _PLAIN)[0, : num_frames(4000)].argmax(dim=1)
    assert (found == expected).all()


def test_features_are_those_of_transformers_ast() -> None:
    extraction = pytest.importorskip("transformers").ASTFeatureExtractor()
    sounds = [_noise(12_345, 1), _noise(16_000, 2)]
    expected = extraction(
        [sound.numpy() for sound in sounds], sampling_rate=RATE_HZ, return_tensors="pt"
    ).input_values
    audio = torch.zeros(2, 16_000)
    for row, sound in zip(audio, sounds, strict=True):
        row[: len(sound)] = sound
    found = log_mel(audio, LogMelConfig(), torch.tensor([len(sound) for sound in sounds]))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("frames", [1, 2, 48, 1024])
def test_lengths_in_samples_and_in_frames_agree(frames: int) -> None:
    least = samples_of(frames)
    assert (num_frames(least - 1), num_frames(least)) == (frames - 1, frames)
    assert num_frames_each(torch.tensor([0, least - 1, least])).tolist() == [0, frames - 1, frames]
