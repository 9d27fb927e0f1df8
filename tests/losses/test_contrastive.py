"""Proves CVRL's loss against a value worked by hand and a restatement in loops and plain floats."""

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from avrep.losses.contrastive import top1_accuracy, two_view_info_nce


def _unit_rows(num_rows: int, width: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randn(num_rows, width, generator=generator, dtype=torch.float64)
    return functional.normalize(rows, dim=1)


def _slow_loss(a: list[list[float]], b: list[list[float]], temperature: float) -> list[float]:
    """Each clip's share of the loss, both sides added, over the joined batch."""

    def similarity(u: list[float], v: list[float]) -> float:
        return sum(x * y for x, y in zip(u, v, strict=True)) / temperature

    shares = []
    for i in range(len(a)):
        share = 0.0
        for own, other in ((a, b), (b, a)):
            positive = math.exp(similarity(own[i], other[i]))
            total = 0.0
            for j in range(len(a)):
                total += math.exp(similarity(own[i], other[j]))
                if j != i:
                    total += math.exp(similarity(own[i], own[j]))
            share -= math.log(positive / total)
        shares.append(share)
    return shares


def test_a_value_worked_by_hand() -> None:
    # Two clips at right angles, views equal, T = 1. Each side of each clip has one positive with
    # cosine 1 and two negatives with cosine 0: -log(e / (e + 2)) = log(1 + 2 / e) = 0.551445.
    z = torch.eye(2)
    loss = two_view_info_nce(z, z, z, z, offset=0, temperature=1.0)
    assert loss.item() == pytest.approx(2 * 0.551445, abs=2e-6)


def test_a_clip_alone_has_no_negatives_and_no_loss() -> None:
    z_a, z_b = _unit_rows(1, 4, 0).float(), _unit_rows(1, 4, 1).float()
    loss = two_view_info_nce(z_a, z_b, z_a, z_b, offset=0, temperature=0.1)
    assert loss.item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("temperature", [0.1, 0.5])
@pytest.mark.parametrize(("num_clips", "num_local", "offset"), [(6, 6, 0), (6, 2, 4), (6, 3, 0)])
def test_it_equals_the_loops(
    temperature: float, num_clips: int, num_local: int, offset: int
) -> None:
    a, b = _unit_rows(num_clips, 5, 0), _unit_rows(num_clips, 5, 1)
    own = slice(offset, offset + num_local)
    loss = two_view_info_nce(
        a[own].float(), b[own].float(), a.float(), b.float(), offset=offset, temperature=temperature
    )
    shares = _slow_loss(a.tolist(), b.tolist(), temperature)[own]
    assert loss.item() == pytest.approx(sum(shares) / num_local, rel=1e-5)


def test_a_clip_is_not_its_own_negative() -> None:
    # A gradient through the clip's similarity with itself would not vanish here.
    z_a = _unit_rows(3, 4, 0).float()
    keys_a = z_a.clone().requires_grad_()
    z_b = _unit_rows(3, 4, 1).float()
    two_view_info_nce(z_a[:1], z_b[:1], keys_a, z_b, offset=0, temperature=0.1).backward()
    expected = torch.zeros(4)
    assert keys_a.grad is not None
    # Row 0 of keys_a serves only as the positive of b_0 and is masked for a_0: its gradient is
    # (p - 1) / T * b_0, along b_0 alone.
    along_b = (keys_a.grad[0] @ z_b[0]) * z_b[0]
    torch.testing.assert_close(keys_a.grad[0] - along_b, expected, atol=1e-5, rtol=0)
    assert keys_a.grad[0].norm() > 1e-3


def test_it_is_computed_in_float32_under_autocast() -> None:
    z_a, z_b = _unit_rows(8, 16, 0).float(), _unit_rows(8, 16, 1).float()
    plain = two_view_info_nce(z_a, z_b, z_a, z_b, offset=0, temperature=0.1)
    with torch.autocast("cpu", torch.bfloat16):
        cast = two_view_info_nce(z_a, z_b, z_a, z_b, offset=0, temperature=0.1)
    assert cast.dtype == torch.float32
    assert torch.equal(plain, cast)


def test_top1_counts_queries_whose_nearest_key_is_their_own() -> None:
    keys = torch.eye(4)
    queries = torch.stack([keys[2], keys[0]])  # own keys are rows 2 and 3: one right, one wrong
    assert top1_accuracy(queries, keys, offset=2).item() == 0.5
    assert top1_accuracy(queries, keys, offset=0).item() == 0.0
