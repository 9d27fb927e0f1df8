"""Checks the convolutional audio encoder: its rate of tokens, its seed, and what it refuses."""

import pytest
import torch

from avrep.models.audio_conv import AudioConvConfig, build_audio_conv

_TINY = AudioConvConfig(base_width=4, num_bins=16)


@pytest.mark.parametrize(
    ("num_samples", "num_tokens"), [(880, 1), (3200, 5), (10240, 16), (16000, 25), (32000, 50)]
)
def test_there_are_25_tokens_a_second(num_samples: int, num_tokens: int) -> None:
    encoder = build_audio_conv(_TINY, 0).eval()
    features = encoder(0.1 * torch.randn(2, num_samples))
    assert features.tokens.shape == (2, num_tokens, encoder.width)
    assert features.grid == (num_tokens, 1, 1)
    torch.testing.assert_close(features.pooled, features.tokens.mean(dim=1))


def test_a_token_hears_its_own_place() -> None:
    """A click in the middle of a second changes the tokens there most, and none far away."""
    encoder = build_audio_conv(_TINY, 0).eval()
    quiet = 0.01 * torch.randn(1, 16000, generator=torch.Generator().manual_seed(0))
    click = quiet.clone()
    click[:, 8000:8100] += 0.5
    change = (encoder(click).tokens - encoder(quiet).tokens).abs().sum(dim=2)[0]
    assert abs(int(change.argmax()) - 12) <= 2
    assert change[:6].max() == 0
    assert change[20:].max() == 0


def test_widths_are_the_paper_s_and_weights_a_function_of_the_seed() -> None:
    encoder = build_audio_conv(AudioConvConfig(), 0)
    widths = [
        layer.out_channels
        for layer in encoder.layers.children()
        if isinstance(layer, torch.nn.Conv2d)
    ]
    assert widths == [64, 192, 384, 256, 256, 512]
    assert encoder.width == 512
    assert round(encoder.num_parameters / 1e6, 1) == 3.4
    first, again, other = (build_audio_conv(_TINY, seed) for seed in (1, 1, 2))
    sound = 0.1 * torch.randn(2, 3200)
    assert torch.equal(first(sound).pooled, again(sound).pooled)
    assert not torch.equal(first(sound).pooled, other(sound).pooled)


@pytest.mark.parametrize(
    ("clips", "got"),
    [
        (torch.zeros(2, 879), r"at least 880 samples \(55 ms\), got 879"),
        (torch.zeros(2, 1, 16000), r"got float32\[2, 1, 16000\]"),
        (torch.zeros(2, 16000, dtype=torch.int16), r"got int16\[2, 16000\]"),
    ],
)
def test_other_forms_are_refused(clips: torch.Tensor, got: str) -> None:
    with pytest.raises(ValueError, match=got):
        build_audio_conv(_TINY, 0)(clips)
