"""Proves that bfloat16 on the CPU gives the gradients of float32, but for rounding."""

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from avrep.models.mixed_precision import mixed_precision

_CPU = torch.device("cpu")


def _gradient(layer: nn.Module, clips: Tensor, *, recomputed: bool = False) -> Tensor:
    layer.zero_grad()
    out = checkpoint(layer, clips, use_reentrant=False) if recomputed else layer(clips)
    assert isinstance(out, Tensor)
    out.float().square().sum().backward()
    assert isinstance(layer.weight, nn.Parameter)
    assert layer.weight.grad is not None
    return layer.weight.grad.clone()


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        # Of each kind one that torch 2.11 gets wrong on processors with AVX-512 BF16.
        (nn.Conv3d(16, 16, 3, padding=1), (2, 16, 2, 8, 8)),
        (nn.Conv3d(16, 16, 3, padding="same"), (2, 16, 2, 8, 8)),
        (nn.Conv2d(16, 32, 3, stride=2, padding=1), (2, 16, 4, 1)),
        (nn.Conv1d(16, 32, 10, stride=5, padding=5), (2, 16, 3)),
    ],
    ids=["3d", "3d, same", "2d", "1d"],
)
@pytest.mark.parametrize("recomputed", [False, True])
def test_convolutions_are_those_of_float32(
    layer: nn.Module, shape: tuple[int, ...], recomputed: bool
) -> None:
    clips = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    expected = _gradient(layer, clips)
    with mixed_precision(_CPU, "bf16"):
        assert layer(clips).dtype == torch.float32
        # As from a product before it.
        assert layer(clips.bfloat16()).dtype == torch.float32
        found = _gradient(layer, clips, recomputed=recomputed)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max()))


def test_products_are_in_bfloat16_and_only_where_asked_for() -> None:
    layer = nn.Linear(64, 32)
    rows = torch.randn(8, 64)
    expected = _gradient(layer, rows)
    with mixed_precision(_CPU, "bf16"):
        assert layer(rows).dtype == torch.bfloat16
        found = _gradient(layer, rows)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected, rtol=0.1, atol=0.02 * float(expected.abs().max()))
    assert not torch.equal(found, expected)
    with mixed_precision(_CPU, "fp32"):
        assert layer(rows).dtype == torch.float32
        assert torch.equal(_gradient(layer, rows), expected)
