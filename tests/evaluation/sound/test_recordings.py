"""Proves that recordings are heard as they were written, whole and in part."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from avrep.errors import ConfigError, MediaError
from avrep.evaluation.sound.recordings import read_wave
from tests.small_sounds import recording, tone, write_wav


def _steps(num: int) -> np.ndarray:
    return np.random.default_rng(0).integers(-(2**14), 2**14, num) / 2**15


def test_a_file_is_its_samples(tmp_path: Path) -> None:
    samples = _steps(16_123)
    wave = read_wave(recording(write_wav(tmp_path / "a.wav", samples)))
    torch.testing.assert_close(wave, torch.from_numpy(samples).float())


def test_a_part_begins_and_ends_where_it_says(tmp_path: Path) -> None:
    samples = _steps(48_000)
    whole = recording(write_wav(tmp_path / "a.wav", samples))
    for start in (0, 1, 12_345, 32_000):
        part = replace(whole, start_s=start / 16_000, end_s=start / 16_000 + 1)
        expected = torch.from_numpy(samples[start : start + 16_000]).float()
        torch.testing.assert_close(read_wave(part), expected)


def test_other_rates_are_resampled(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "a.wav", tone(440, 0.5, 8_000), 8_000)
    wave = read_wave(recording(path)).numpy()
    assert len(wave) == 8_000
    assert wave[1000:-1000] == pytest.approx(tone(440, 0.5)[1000:-1000], abs=2e-3)


def test_a_file_that_is_not_there_or_no_sound_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no file at .*none\.wav"):
        read_wave(recording(tmp_path / "none.wav"))
    (tmp_path / "text.wav").write_text("no sound")
    with pytest.raises(MediaError, match=r"text\.wav"):
        read_wave(recording(tmp_path / "text.wav"))
