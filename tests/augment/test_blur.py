"""Proves the blur against scipy's correlation with zeros beyond the edges, against torchvision away
from the edges, and by the response to a single bright pixel.
"""

import math

import numpy as np
import pytest
import torch
from scipy import ndimage
from torchvision.transforms.v2 import functional as tv

from avrep.augment.blur import blur_
from avrep.augment.video_config import VideoAugmentConfig


def random_clips(n: int) -> torch.Tensor:
    return torch.rand(n, 3, 2, 30, 26, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("radius_px", [1, 5, 11, 40])
def test_equals_scipy_with_black_beyond_the_edges(radius_px: int):
    sigmas = [0.1, 0.7, 2.0]
    clips = random_clips(3)
    before = clips.numpy().copy()
    blur_(clips, torch.tensor(sigmas), radius_px)
    for i, sigma in enumerate(sigmas):
        taps = [math.exp(-(k * k) / (2 * sigma * sigma)) for k in range(-radius_px, radius_px + 1)]
        weights = np.array(taps) / sum(taps)
        expected = before[i].astype(np.float64)
        for axis in (2, 3):
            expected = ndimage.correlate1d(expected, weights, axis=axis, mode="constant", cval=0)
        np.testing.assert_allclose(clips[i].numpy(), expected, atol=2e-6)


def test_equals_torchvision_away_from_the_edges():
    clips = random_clips(1)
    expected = tv.gaussian_blur(clips[0], kernel_size=[11, 11], sigma=[1.3, 1.3])
    blur_(clips, torch.tensor([1.3]), 5)
    inner = (..., slice(5, -5), slice(5, -5))
    torch.testing.assert_close(clips[0][inner], expected[inner], atol=2e-6, rtol=0)
    assert not torch.allclose(clips[0], expected, atol=1e-2)


@pytest.mark.parametrize(("crop_px", "taps"), [(224, 23), (112, 11), (256, 25), (64, 7), (16, 1)])
def test_number_of_taps_follows_the_crop(crop_px: int, taps: int):
    radius_px = VideoAugmentConfig(crop_px=crop_px).blur_radius_px
    assert 2 * radius_px + 1 == taps
    point = torch.zeros(1, 3, 1, 61, 61)
    point[..., 30, 30] = 1
    blur_(point, torch.tensor([5.0]), radius_px)
    assert int((point[0, 0, 0, 30] > 0).sum()) == taps
    assert int((point[0, 0, 0, :, 30] > 0).sum()) == taps
    assert point[0, 0].sum().item() == pytest.approx(1, abs=1e-5)


def test_a_tiny_sigma_changes_nothing():
    clips = random_clips(1)
    before = clips.clone()
    blur_(clips, torch.tensor([0.1]), 11)
    torch.testing.assert_close(clips, before, atol=1e-6, rtol=0)
