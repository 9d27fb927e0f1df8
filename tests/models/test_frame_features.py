"""Frames of long sound go on where those of the piece before end."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from avrep.models import frame_features
from avrep.models.frame_features import FrameFeatures, layer_features, mfcc_features
from avrep.models.mfcc import mfcc_with_deltas
from avrep.models.waveform import WaveformConfig, build_waveform


def _sound(num_samples: int) -> Tensor:
    return 0.1 * torch.randn(num_samples, generator=torch.Generator().manual_seed(0))


def test_mfccs_are_those_of_iteration_1() -> None:
    features = mfcc_features()
    assert (features.width, features.rate_hz) == (39, 100)
    sound = _sound(5000)
    assert torch.equal(features(sound), mfcc_with_deltas(sound))


def test_a_layer_is_the_hidden_state_of_that_number_without_dropout() -> None:
    encoder = build_waveform(WaveformConfig(size="tiny"), 0).train()
    sound = _sound(5000)
    for layer in (0, 2, 4):
        features = layer_features(encoder, layer)
        assert (features.width, features.rate_hz) == (192, 50)
        states, _ = encoder.eval().hidden_states(sound[None])
        assert torch.equal(features(sound), states[layer][0])
    with pytest.raises(ValueError, match="layer must be in 0 to 4, got 5"):
        layer_features(encoder, 5)


@pytest.mark.parametrize("hop_samples", [160, 320])
@pytest.mark.parametrize("num_samples", [0, 399, 400, 719, 720, 9999, 12345])
def test_pieces_neither_lose_nor_repeat_a_frame(
    monkeypatch: pytest.MonkeyPatch, hop_samples: int, num_samples: int
) -> None:
    """Frames that hear only their own 400 samples are the same whole and in pieces."""

    def extract(sound: Tensor) -> Tensor:
        return sound.unfold(0, 400, hop_samples)

    features = FrameFeatures(width=400, hop_samples=hop_samples, extract=extract)
    sound = torch.arange(num_samples, dtype=torch.float32)
    whole = extract(sound) if num_samples >= 400 else torch.zeros(0, 400)
    monkeypatch.setattr(frame_features, "_PIECE_FRAMES", 5)
    assert torch.equal(features(sound), whole)


@pytest.mark.parametrize("piece_frames", [5000, 5])
def test_standardised_frames_are_those_of_the_whole_sound_less_its_level(
    monkeypatch: pytest.MonkeyPatch, piece_frames: int
) -> None:
    """Over all pieces at once; a number that never changes says nothing, and none is no number."""

    def extract(sound: Tensor) -> Tensor:
        windows = sound.unfold(0, 400, 320)
        return torch.stack(
            [windows[:, 0], 1e4 + windows[:, 1], torch.full_like(windows[:, 0], -7)], 1
        )

    monkeypatch.setattr(frame_features, "_PIECE_FRAMES", piece_frames)
    plain = FrameFeatures(width=3, hop_samples=320, extract=extract)
    features = replace(plain, is_standardised=True)
    sound = _sound(9999)
    frames = plain(sound).double().numpy()
    expected = (frames - frames.mean(axis=0)) / np.sqrt(frames.var(axis=0) + 1e-5)
    found = features(sound).numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    assert not found[:, 2].any()
    assert not features(sound[:400]).any()
    assert features(sound[:399]).shape == (0, 3)


def test_standardised_mfccs_are_those_of_any_loudness() -> None:
    features = replace(mfcc_features(), is_standardised=True)
    sound = _sound(5000)
    assert torch.allclose(features(sound), features(0.1 * sound), atol=1e-3)
    assert not torch.allclose(mfcc_features()(sound), mfcc_features()(0.1 * sound), atol=1.0)
