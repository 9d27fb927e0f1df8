"""Proves the test-time crops: against torch's antialiased resize followed by plain slices, with the
places of the crops worked out by hand, for wide, tall, square and padded frames.
"""

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch.nn.functional import interpolate

from avrep.augment.eval_crops import CropConfig, crop_views


def frames(height: int, width: int) -> torch.Tensor:
    rng = np.random.default_rng(height * 1000 + width)
    return torch.from_numpy(rng.integers(0, 256, (1, 2, height, width, 3), dtype=np.uint8))


def resized(video: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """float64[3 t height width] in [-1, 1]."""
    planes = video[0].permute(0, 3, 1, 2).double() / 127.5 - 1
    out = interpolate(planes, size=(height, width), mode="bilinear", antialias=True)
    return out.transpose(0, 1)


@pytest.mark.parametrize(
    ("size", "new_size", "corners"),
    [
        # Short side 32, crops of 24: the spare pixels of each axis are shared out by hand.
        ((48, 72), (32, 48), [(4, 0), (4, 12), (4, 24)]),
        ((72, 48), (48, 32), [(0, 4), (12, 4), (24, 4)]),
        ((20, 20), (32, 32), [(4, 0), (4, 4), (4, 8)]),
        ((64, 90), (32, 45), [(4, 0), (4, 10), (4, 21)]),
    ],
)
def test_three_crops_by_hand(
    size: tuple[int, int], new_size: tuple[int, int], corners: list[tuple[int, int]]
):
    video = frames(*size)
    size_px = np.array([size], np.int32)
    config = CropConfig(short_side_px=32, crop_px=24)
    ours = crop_views(video, size_px, config)
    assert ours.shape == (1, 3, 3, 2, 24, 24)
    assert ours.dtype == torch.float32
    whole = resized(video, *new_size)
    for crop, (top, left) in zip(ours[0], corners, strict=True):
        expected = whole[:, :, top : top + 24, left : left + 24].float()
        torch.testing.assert_close(crop, expected, atol=3e-6, rtol=0)
    centre = crop_views(video, size_px, config.model_copy(update={"num_crops": 1}))
    assert torch.equal(centre[:, 0], ours[:, 1])


def test_frames_already_of_the_short_side_are_only_cut():
    video = frames(32, 50)
    ours = crop_views(
        video, np.array([[32, 50]], np.int32), CropConfig(short_side_px=32, crop_px=32)
    )
    expected = video[0, :, :, 18:].permute(3, 0, 1, 2) / 127.5 - 1
    torch.testing.assert_close(ours[0, 2], expected, atol=1e-6, rtol=0)


def test_padding_never_shows_and_clips_do_not_mix():
    config = CropConfig(short_side_px=32, crop_px=32, mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6))
    parts = [frames(40, 60), frames(64, 50)]
    size_px = np.array([[40, 60], [64, 50]], np.int32)
    batches = []
    for padding in (0, 255):
        video = torch.full((2, 2, 64, 60, 3), padding, dtype=torch.uint8)
        for i, part in enumerate(parts):
            video[i, :, : part.shape[2], : part.shape[3]] = part[0]
        batches.append(crop_views(video, size_px, config))
    assert torch.equal(*batches)
    for i, part in enumerate(parts):
        alone = crop_views(part, size_px[i : i + 1], config)
        assert torch.equal(alone[0], batches[0][i])


def test_what_does_not_fit_is_refused():
    config = CropConfig(short_side_px=32, crop_px=32)
    with pytest.raises(ValueError, match="do not fit"):
        crop_views(frames(40, 60), np.array([[41, 60]], np.int32), config)
    with pytest.raises(ValueError, match="do not fit"):
        crop_views(frames(40, 60), np.array([[40, 60], [40, 60]], np.int32), config)
    with pytest.raises(ValueError, match="must be uint8"):
        crop_views(frames(40, 60).float(), np.array([[40, 60]], np.int32), config)


def test_a_crop_beyond_the_short_side_is_refused():
    with pytest.raises(ValidationError, match="at most short_side_px, 224"):
        CropConfig(short_side_px=224, crop_px=256)
