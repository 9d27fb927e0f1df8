"""Proves the losses of hidden patches: values worked by hand, and loops in numpy."""

import math

import numpy as np
import pytest
import torch

from avrep.losses.masked_patches import clip_spread, patch_errors, patch_info_nce, patch_logits

_ALL = torch.ones(1, 2, dtype=torch.bool)


def test_two_patches_by_hand() -> None:
    targets = torch.tensor([[[1.0, 0.0], [0.0, 2.0]]])
    predicted = torch.tensor([[[math.log(3), 0.0], [0.0, 1.0]]])
    # First: products log 3 and 0, so 3 of 3 + 1. Second: 0 and 2, so e^2 of e^2 + 1.
    losses = patch_info_nce(patch_logits(predicted, targets, _ALL), _ALL)
    expected = torch.tensor([[math.log(4 / 3), math.log(1 + math.exp(-2))]])
    torch.testing.assert_close(losses, expected)
    errors = patch_errors(predicted, targets)
    torch.testing.assert_close(errors, torch.tensor([[(math.log(3) - 1) ** 2 / 2, 0.5]]))
    # The mean is (0.5, 1), off by (0.5, 1) both times.
    torch.testing.assert_close(clip_spread(targets, _ALL), torch.full((1, 2), 0.625))


def test_the_sum_is_over_patches_and_not_over_predictions() -> None:
    """The released code's other axis gives the same only where products are symmetric."""
    targets = torch.tensor([[[1.0], [2.0]]])
    predicted = torch.tensor([[[1.0], [0.0]]])
    losses = patch_info_nce(patch_logits(predicted, targets, _ALL), _ALL)
    torch.testing.assert_close(losses, torch.tensor([[math.log(1 + math.e), math.log(2)]]))


def test_loops_in_numpy_agree_where_rows_are_of_unequal_length() -> None:
    generator = torch.Generator().manual_seed(0)
    predicted, targets = torch.randn(2, 3, 5, 4, generator=generator)
    lengths = [5, 2, 3]
    valid = torch.arange(5) < torch.tensor(lengths)[:, None]
    losses = patch_info_nce(patch_logits(predicted, targets, valid), valid)
    errors, spread = patch_errors(predicted, targets), clip_spread(targets, valid)
    for clip, length in enumerate(lengths):
        c, x = (part[clip, :length].double().numpy() for part in (predicted, targets))
        for i in range(length):
            shares = [math.exp(c[i] @ x[j]) for j in range(length)]
            assert losses[clip, i].item() == pytest.approx(
                -math.log(shares[i] / sum(shares)), rel=1e-5
            )
            assert errors[clip, i].item() == pytest.approx(np.mean((c[i] - x[i]) ** 2), rel=1e-5)
            mean = x.mean(axis=0)
            assert spread[clip, i].item() == pytest.approx(np.mean((x[i] - mean) ** 2), rel=1e-5)
        assert (losses[clip, length:] == 0).all()


def test_what_is_not_valid_has_no_gradient() -> None:
    predicted = torch.randn(1, 3, 4, requires_grad=True)
    valid = torch.tensor([[True, True, False]])
    logits = patch_logits(predicted, torch.randn(1, 3, 4), valid)
    patch_info_nce(logits, valid).sum().backward()
    assert predicted.grad is not None
    assert predicted.grad.isfinite().all()
    assert predicted.grad[0, :2].any()
    assert not predicted.grad[0, 2].any()


def test_under_autocast_it_stays_float32() -> None:
    predicted, targets = torch.randn(2, 1, 2, 64, generator=torch.Generator().manual_seed(0))
    with torch.autocast("cpu", torch.bfloat16):
        logits = patch_logits(predicted, targets, _ALL)
    assert torch.equal(logits, patch_logits(predicted, targets, _ALL))


def test_unequal_shapes_are_refused() -> None:
    for loss in (patch_errors, lambda a, b: patch_logits(a, b, _ALL)):
        with pytest.raises(ValueError, match=r"predicted \[1, 2, 3\], but targets \[1, 2, 4\]"):
            loss(torch.zeros(1, 2, 3), torch.zeros(1, 2, 4))
