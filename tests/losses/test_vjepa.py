"""Proves V-JEPA's targets, loss and measure of collapse by hand and against loops in numpy."""

import numpy as np
import pytest
import torch

from avrep.losses.vjepa import masked_l1, normalised_features, spread_over_clips


def test_the_loss_by_hand() -> None:
    predicted = torch.tensor([[[1.0, 2.0], [0.0, -0.5]]], requires_grad=True)
    loss = masked_l1(predicted, torch.tensor([[[1.5, 0.0], [3.0, -0.5]]]))
    assert loss.item() == (0.5 + 2 + 3 + 0) / 4
    loss.backward()
    assert predicted.grad is not None
    assert predicted.grad.tolist() == [[[-0.25, 0.25], [-0.25, 0]]]
    with pytest.raises(ValueError, match=r"\[1, 2, 2\], but targets \[1, 1, 2\]"):
        masked_l1(predicted, torch.zeros(1, 1, 2))


def test_the_loss_is_float32_under_autocast() -> None:
    with torch.autocast("cpu", torch.bfloat16):
        loss = masked_l1(torch.ones(1, 1, 1, dtype=torch.bfloat16), torch.full((1, 1, 1), 1.001))
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(1e-3, rel=1e-3)


def test_each_token_is_normalised_by_itself() -> None:
    tokens = 3 + 2 * torch.randn(2, 3, 8, generator=torch.Generator().manual_seed(0))
    got = normalised_features(tokens)
    for own, out in zip(tokens.double().numpy().reshape(-1, 8), got.reshape(-1, 8), strict=True):
        centre = own.sum() / 8
        variance = ((own - centre) ** 2).sum() / 8
        expected = (own - centre) / np.sqrt(variance + 1e-5)
        np.testing.assert_allclose(out.numpy(), expected, rtol=1e-4, atol=1e-5)
    # Features that are all one, as a dead teacher's, give zeros and not NaN.
    assert normalised_features(torch.full((1, 1, 4), 7.0)).tolist() == [[[0, 0, 0, 0]]]


def test_spread_by_hand() -> None:
    # Opposite directions of two: deviation 1 along one axis, 0 along the other, times sqrt(2).
    two = torch.tensor([[3.0, 0.0], [-5.0, 0.0]])
    assert spread_over_clips(two).item() == pytest.approx(2**0.5 / 2)
    # Along both axes they fill the circle.
    four = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
    assert spread_over_clips(four).item() == pytest.approx(1)
    assert spread_over_clips(torch.tensor([[1.0, 2.0], [2.0, 4.0]])).item() < 1e-6
    many = torch.randn(4000, 64, generator=torch.Generator().manual_seed(0))
    assert spread_over_clips(many).item() == pytest.approx(1, rel=0.01)
