"""Proves the cubes, targets and loss of masked autoencoders against loops in numpy and by hand."""

import numpy as np
import pytest
import torch
from torch import Tensor

from avrep.losses.masked_pixels import (
    channel_spread,
    cube_spread,
    cut_cubes,
    join_cubes,
    masked_mse,
)

_CUBE = (2, 3, 4)


def _video(frames: int = 4, height: int = 6, width: int = 12) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.rand(2, 3, frames, height, width, generator=generator)


def test_cubes_are_cut_by_loops() -> None:
    video = _video()
    cubes = cut_cubes(video, _CUBE)
    assert cubes.shape == (2, 2 * 2 * 3, 2 * 3 * 4, 3)
    place = 0
    for t in range(2):
        for y in range(2):
            for x in range(3):
                pixel = 0
                for f in range(2):
                    for row in range(3):
                        for column in range(4):
                            own = video[:, :, 2 * t + f, 3 * y + row, 4 * x + column]
                            assert torch.equal(cubes[:, place, pixel], own)
                            pixel += 1
                place += 1


def test_joining_undoes_cutting() -> None:
    video = _video()
    assert torch.equal(join_cubes(cut_cubes(video, _CUBE), (2, 2, 3), _CUBE), video)


def test_a_video_of_no_whole_cubes_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\(2, 3, 4\) want a video of whole cubes, got \[2, 3, 5"):
        cut_cubes(_video(frames=5), _CUBE)


def test_videomae_s_spread_is_of_each_cube_and_channel() -> None:
    cubes = cut_cubes(_video(), _CUBE)
    mean, scale = channel_spread(cubes)
    assert mean.shape == scale.shape == (2, 12, 1, 3)
    means, scales = mean.reshape(-1, 3), scale.reshape(-1, 3)
    for own, got_mean, got_scale in zip(
        cubes.double().numpy().reshape(-1, 24, 3), means, scales, strict=True
    ):
        for channel in range(3):
            values = own[:, channel]
            centre = values.sum() / 24
            deviation = np.sqrt(((values - centre) ** 2).sum() / 23)
            assert got_mean[channel].item() == pytest.approx(centre, rel=1e-5)
            assert got_scale[channel].item() == pytest.approx(deviation + 1e-6, rel=1e-5)


def test_mae_st_s_spread_is_of_each_cube_s_values_together() -> None:
    cubes = cut_cubes(_video(), _CUBE)
    mean, scale = cube_spread(cubes)
    assert mean.shape == scale.shape == (2, 12, 1, 1)
    for own, got_mean, got_scale in zip(
        cubes.double().numpy().reshape(-1, 72), mean.flatten(), scale.flatten(), strict=True
    ):
        centre = own.sum() / 72
        variance = ((own - centre) ** 2).sum() / 71
        assert got_mean.item() == pytest.approx(centre, rel=1e-5)
        assert got_scale.item() == pytest.approx(np.sqrt(variance + 1e-6), rel=1e-5)


def test_flat_cubes_make_targets_of_zero() -> None:
    flat = torch.full((1, 2, 8, 3), 0.25)
    for spread in (channel_spread, cube_spread):
        mean, scale = spread(flat)
        assert ((flat - mean) / scale).abs().max() < 1e-6
    assert channel_spread(flat)[1].unique().item() == pytest.approx(1e-6)
    assert cube_spread(flat)[1].unique().item() == pytest.approx(1e-3)


def test_the_loss_by_hand() -> None:
    predicted = torch.tensor([[[1.0, 2.0], [0.0, 0.0]]], requires_grad=True)
    loss = masked_mse(predicted, torch.tensor([[[1.0, 0.0], [3.0, 1.0]]]))
    assert loss.item() == (0 + 4 + 9 + 1) / 4
    loss.backward()
    assert predicted.grad is not None
    assert predicted.grad.tolist() == [[[0, 1], [-1.5, -0.5]]]
    with pytest.raises(ValueError, match=r"\[1, 2, 2\], but targets \[1, 1, 2\]"):
        masked_mse(predicted, torch.zeros(1, 1, 2))


def test_the_loss_is_float32_under_autocast() -> None:
    with torch.autocast("cpu", torch.bfloat16):
        loss = masked_mse(torch.ones(1, 1, 1, dtype=torch.bfloat16), torch.full((1, 1, 1), 1.001))
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(1e-6, rel=1e-3)
