"""Alignment and uniformity at values worked by hand, and against slow restatements."""

import math

import pytest
import torch

from avrep.losses.hypersphere import alignment, uniformity


def test_alignment_worked_by_hand() -> None:
    first = torch.tensor([[2.0, 0.0], [0.0, 3.0], [1.0, 0.0]])
    second = torch.tensor([[5.0, 0.0], [1.0, 0.0], [-1.0, 0.0]])
    # In one place: 0; at right angles: 2; opposite: 4.
    assert alignment(first, second).item() == pytest.approx((0 + 2 + 4) / 3)


def test_uniformity_worked_by_hand() -> None:
    # Squared distances of the corners of a square on the circle: 2 four times, 4 twice.
    square = torch.tensor([[3.0, 0.0], [0.0, 1.0], [-2.0, 0.0], [0.0, -1.0]])
    expected = math.log((4 * math.exp(-4) + 2 * math.exp(-8)) / 6)
    assert uniformity(square).item() == pytest.approx(expected)
    assert uniformity(torch.ones(5, 3)).item() == pytest.approx(0.0, abs=1e-5)
    assert uniformity(torch.tensor([[1.0, 0.0], [-1.0, 0.0]])).item() == pytest.approx(-8.0)


def test_both_restated_slowly() -> None:
    generator = torch.Generator().manual_seed(0)
    x, y = (torch.randn(7, 5, generator=generator) for _ in range(2))
    rows = [row / row.norm() for row in x]
    others = [row / row.norm() for row in y]
    pairs = [(a, b) for i, a in enumerate(rows) for b in rows[i + 1 :]]
    near = [math.exp(-2 * float((a - b).norm()) ** 2) for a, b in pairs]
    assert uniformity(x).item() == pytest.approx(math.log(sum(near) / len(near)), rel=1e-5)
    apart = [float((a - b).norm()) ** 2 for a, b in zip(rows, others, strict=True)]
    assert alignment(x, y).item() == pytest.approx(sum(apart) / len(apart), rel=1e-5)


def test_evenly_spread_rows_come_near_the_expected_value() -> None:
    rows = torch.randn(3000, 64, generator=torch.Generator().manual_seed(1))
    assert uniformity(rows).item() == pytest.approx(-4 + 8 / 64, abs=0.02)


def test_one_row_is_refused() -> None:
    with pytest.raises(ValueError, match=r"two rows or more, got \[1, 4\]"):
        uniformity(torch.ones(1, 4))
