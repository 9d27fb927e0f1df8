"""Proves each colour change against the standard library's HSV, against torchvision where the
semantics agree, and against plain loops; a clip's own factor reaches only that clip.
"""

import colorsys
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torchvision.transforms.v2 import functional as tv

from avrep.augment.colour import (
    make_gray_,
    normalize_,
    scale_brightness_,
    scale_contrast_,
    scale_saturation_,
    solarize_,
    turn_hue_,
)

# Grays, primaries, secondaries, near-grays and ties of two channels, then random colours.
SPECIAL = [
    (0, 0, 0), (1, 1, 1), (0.5, 0.5, 0.5), (1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 0), (0, 1, 1),
    (1, 0, 1), (0.3, 0.3, 0.7), (0.3, 0.7, 0.3), (0.7, 0.3, 0.3), (0.7, 0.7, 0.3), (0.7, 0.3, 0.7),
    (0.3, 0.7, 0.7), (0.5, 0.5, 0.5001), (1e-6, 0, 0), (0.2, 0.2, 0.2000001), (1, 0.999999, 0),
]  # fmt: skip


def colours() -> np.ndarray:
    random = np.random.default_rng(0).random((700 - len(SPECIAL), 3))
    return np.concatenate([np.array(SPECIAL), random]).astype(np.float32)


def clip_of(pixels: np.ndarray) -> torch.Tensor:
    """float32[700, 3] as one clip of 7 frames of 10 by 10 pixels."""
    return torch.from_numpy(pixels.reshape(7, 10, 10, 3)).permute(3, 0, 1, 2)[None].clone()


def pixels_of(clip: torch.Tensor) -> np.ndarray:
    return clip[0].permute(1, 2, 3, 0).reshape(-1, 3).numpy()


def random_clips(n: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(n, 3, 4, 8, 6, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("turn", [-0.5, -0.2, -0.01, 0.0, 0.05, 1 / 6, 0.2, 1 / 3, 0.5])
def test_hue_equals_the_standard_library(turn: float):
    clip = clip_of(colours())
    turn_hue_(clip, torch.tensor([turn]))
    expected = []
    for red, green, blue in colours().tolist():
        hue, saturation, value = colorsys.rgb_to_hsv(red, green, blue)
        expected.append(colorsys.hsv_to_rgb((hue + turn) % 1, saturation, value))
    np.testing.assert_allclose(pixels_of(clip), expected, atol=3e-6)


@pytest.mark.parametrize("factor", [0.0, 0.2, 0.99, 1.0, 1.3, 1.8])
def test_saturation_equals_the_standard_library(factor: float):
    clip = clip_of(colours())
    scale_saturation_(clip, torch.tensor([factor]))
    expected = []
    for red, green, blue in colours().tolist():
        hue, saturation, value = colorsys.rgb_to_hsv(red, green, blue)
        expected.append(colorsys.hsv_to_rgb(hue, min(saturation * factor, 1), value))
    np.testing.assert_allclose(pixels_of(clip), expected, atol=3e-6)


@pytest.mark.parametrize("turn", [-0.2, 0.13])
def test_hue_equals_torchvision(turn: float):
    clip = random_clips(1)
    expected = tv.adjust_hue(clip[0].transpose(0, 1), turn).transpose(0, 1)
    turn_hue_(clip, torch.tensor([turn]))
    torch.testing.assert_close(clip[0], expected, atol=3e-6, rtol=0)


@pytest.mark.parametrize("factor", [0.2, 0.9, 1.8])
def test_contrast_turns_about_the_channel_mean_of_the_whole_clip(factor: float):
    clip = random_clips(1)
    clip[0, 1] *= 0.3
    clip[:, :, 2] *= 0.5
    before = clip.numpy().copy()
    scale_contrast_(clip, torch.tensor([factor]))
    for channel in range(3):
        values = before[0, channel]
        mean = sum(float(value) for value in values.ravel()) / values.size
        expected = np.clip((values - mean) * factor + mean, 0, 1)
        np.testing.assert_allclose(clip[0, channel].numpy(), expected, atol=1e-6)


def test_brightness_by_hand():
    clip = clip_of(np.full((700, 3), (0.1, 0.5, 0.8), np.float32))
    scale_brightness_(clip, torch.tensor([1.5]))
    np.testing.assert_allclose(pixels_of(clip)[0], [0.15, 0.75, 1.0], atol=1e-7)


def test_gray_by_hand_and_as_torchvision():
    clip = clip_of(colours())
    expected = tv.rgb_to_grayscale(clip[0].transpose(0, 1), num_output_channels=3).transpose(0, 1)
    make_gray_(clip)
    torch.testing.assert_close(clip[0], expected, atol=1e-6, rtol=0)
    np.testing.assert_allclose(pixels_of(clip)[3], [0.2989] * 3, atol=1e-7)
    np.testing.assert_allclose(pixels_of(clip)[7], [0.701] * 3, atol=1e-7)


def test_solarize_by_hand_and_as_torchvision():
    clip = clip_of(colours())
    expected = tv.solarize(clip[0].transpose(0, 1), 0.5).transpose(0, 1)
    solarize_(clip)
    assert torch.equal(clip[0], expected)
    np.testing.assert_allclose(pixels_of(clip)[2], [0.5] * 3)
    np.testing.assert_allclose(pixels_of(clip)[3], [0, 0, 0])
    np.testing.assert_allclose(pixels_of(clip)[9], [0.3, 0.3, 0.3], atol=1e-7)


def test_normalize_by_hand():
    clip = clip_of(np.full((700, 3), (0.1, 0.5, 0.9), np.float32))
    normalize_(clip, (0.5, 0.25, 0.4), (0.5, 0.125, 2.0))
    np.testing.assert_allclose(pixels_of(clip)[0], [-0.8, 2.0, 0.25], atol=1e-6)


Change = Callable[[torch.Tensor, torch.Tensor], None]


@pytest.mark.parametrize("change", [scale_brightness_, scale_contrast_, scale_saturation_])
@pytest.mark.parametrize("neutral", [True, False])
def test_each_clip_has_its_own_factor(change: Change, neutral: bool):
    factors = torch.tensor([1.0, 1.0, 1.0] if neutral else [0.3, 1.0, 1.7])
    before = random_clips(3)
    together = before.clone()
    change(together, factors)
    for i in range(3):
        alone = before[i : i + 1].clone()
        change(alone, factors[i : i + 1])
        assert torch.equal(together[i : i + 1], alone)
        if factors[i] == 1:
            torch.testing.assert_close(alone, before[i : i + 1], atol=2e-7, rtol=0)
        else:
            assert not torch.allclose(alone, before[i : i + 1], atol=1e-2)


def test_each_clip_has_its_own_turn():
    before = random_clips(3)
    together = before.clone()
    turns = torch.tensor([-0.2, 0.0, 0.5])
    turn_hue_(together, turns)
    for i in range(3):
        alone = before[i : i + 1].clone()
        turn_hue_(alone, turns[i : i + 1])
        assert torch.equal(together[i : i + 1], alone)


@pytest.mark.parametrize("change", [scale_brightness_, scale_contrast_, scale_saturation_])
@pytest.mark.parametrize("factor", [0.2, 1.8])
def test_values_stay_in_range(change: Change, factor: float):
    clip = clip_of(colours())
    change(clip, torch.tensor([factor]))
    assert clip.min() >= 0
    assert clip.max() <= 1
