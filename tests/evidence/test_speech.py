"""Proves that the digit probe leaves speakers out, and that padding is no part of what it is given."""

import csv
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from avrep.evaluation.features_table import Vectors
from avrep.models.log_mel import LogMelConfig, log_mel
from avrep.models.spectrogram_vit import SpectrogramVitConfig, build_spectrogram_vit
from avrep.models.waveform import WaveformConfig, build_waveform
from evidence import speech
from evidence.speech import SPEECH, hits_left_out, layer_statistics, log_mel_statistics
from evidence.training import TrainedRun, train_run

_SPEAKERS = ("ann", "bob", "cat", "dan")
_NUM_TAKES = 4
_DIGITS = np.tile(np.repeat(np.arange(10), _NUM_TAKES), len(_SPEAKERS))
_NAMES = np.repeat(_SPEAKERS, 10 * _NUM_TAKES)


def _hits(codes: np.ndarray) -> np.ndarray:
    """Of features that are a noisy one-hot vector of a code."""
    noise = np.random.default_rng(1).normal(0, 0.1, (len(codes), 10))
    features: Vectors = (np.eye(10)[codes] + noise).astype(np.float32)
    return hits_left_out(features, [str(digit) for digit in _DIGITS], _NAMES.tolist())


def test_what_speakers_share_is_found() -> None:
    assert _hits(_DIGITS).mean() == 1


def test_what_only_the_speaker_s_own_recordings_tell_is_not_found() -> None:
    """Each speaker has a code of their own, without a digit in its place in two of them: whoever saw
    one recording of the speaker left out would know more than nothing.
    """
    number = np.searchsorted(_SPEAKERS, _NAMES)
    codes = (_DIGITS + np.array([0, 1, 3, 6])[number]) % 10
    assert _hits(codes).mean() == 0


def test_a_row_s_own_label_decides_only_whether_it_is_a_hit() -> None:
    """Labels of one speaker that are dealt anew change no prediction for that speaker."""
    noise = np.random.default_rng(2).normal(0, 0.1, (len(_DIGITS), 10))
    features = (np.eye(10)[_DIGITS] + noise).astype(np.float32)
    wrong = np.where(_NAMES == "ann", (_DIGITS + 1) % 10, _DIGITS)
    hits = hits_left_out(features, [str(digit) for digit in wrong], _NAMES.tolist())
    assert hits[_NAMES == "ann"].sum() == 0


def _sounds() -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [0.1 * torch.randn(length, generator=generator) for length in (4000, 7000, 2600)]


@pytest.mark.parametrize("kind", ["spectrogram_vit", "waveform"])
def test_statistics_of_a_layer_are_each_sound_s_own(kind: str) -> None:
    if kind == "waveform":
        encoder = build_waveform(WaveformConfig(size="tiny"), 0).eval()
    else:
        size = SpectrogramVitConfig(size="micro", patch_frames=4, patch_bins=128)
        encoder = build_spectrogram_vit(size, 0).eval()
    sounds = _sounds()
    together = layer_statistics(encoder, sounds)
    for row, sound in zip(together, sounds, strict=True):
        with torch.inference_mode():
            state = encoder.hidden_states(sound[None])[0][speech.LAYER][0].double()
        wanted = torch.cat([state.mean(dim=0), state.std(dim=0, correction=0)])
        np.testing.assert_allclose(row, wanted, atol=1e-4)


def test_statistics_of_log_mels_are_each_sound_s_own() -> None:
    sounds = _sounds()
    together = log_mel_statistics(sounds)
    assert together.shape == (3, 256)
    for row, sound in zip(together, sounds, strict=True):
        num_frames = (len(sound) - 400) // 160 + 1
        image = log_mel(sound[None], LogMelConfig(num_frames=num_frames))[0].double()
        wanted = torch.cat([image.mean(dim=0), image.std(dim=0, correction=0)])
        np.testing.assert_allclose(row, wanted, atol=1e-4)


def _write_tones(folder: Path) -> None:
    """A corpus in the layout of the spoken digits: a digit is a pitch, a speaker a loudness."""
    (folder / "wav").mkdir(parents=True)
    rng = np.random.default_rng(0)
    rows: list[dict[str, object]] = []
    for number, speaker in enumerate(_SPEAKERS):
        for digit in range(10):
            for take in range(2):
                times_s = np.arange(round(8000 * rng.uniform(0.3, 0.5))) / 8000
                tone = np.sin(2 * np.pi * 200 * (1 + digit) * times_s) * (number + 1) / 8
                samples = (32767 * tone).astype("<i2")
                name = f"wav/{digit}_{speaker}_{take}.wav"
                with wave.open(str(folder / name), "wb") as file:
                    file.setparams((1, 2, 8000, 0, "NONE", ""))
                    file.writeframes(samples.tobytes())
                rows.append({"file": name, "digit": digit, "speaker": speaker})
    with (folder / "labels.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, ["file", "digit", "speaker"])
        writer.writeheader()
        writer.writerows(rows)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["ssast", "audiomae", "wav2vec2", "hubert"])
def test_a_recipe_trains_and_is_probed(
    method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def short_run(work: Path, *what: Any, **options: Any) -> TrainedRun:
        steps = ("train.num_steps=2", "train.warmup_steps=1", "train.batch_size=8")
        return train_run(work, *what, *steps, **options)

    monkeypatch.setattr(speech, "train_run", short_run)
    monkeypatch.setenv("AVREP_MEDIA", str(tmp_path / "media"))
    _write_tones(tmp_path / "media" / "speech" / "fsdd")
    (tmp_path / "work").mkdir()
    cells = SPEECH[method](tmp_path / "work", tmp_path, 0)
    assert [cell.method for cell in cells] == (
        ["hubert", "hubert, second iteration"] if method == "hubert" else [method]
    )
    for cell in cells:
        assert len(cell.keys) == len(set(cell.keys)) == 80
        assert len(set(cell.clusters)) == 40
        assert cell.baseline is not None
        # Pitches are told apart by bands whoever "speaks", but for a few that neighbour one another.
        assert np.mean(cell.baseline) > 0.8
        assert cell.facts["steps"] == 2
        assert set(cell.trained) <= {0.0, 1.0}
    assert SPEECH[method](tmp_path / "work", tmp_path, 0) == cells
