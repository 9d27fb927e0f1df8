"""Proves the additive margin softmax: worked by hand, and against its formula."""

import math

import pytest
import torch

from avrep.losses.am_softmax import am_softmax


def test_worked_by_hand() -> None:
    # One example, right by 0.4 and no more: as likely as the other class.
    cosines = torch.tensor([[0.9, 0.5]])
    loss = am_softmax(cosines, torch.tensor([0]), scale=30, margin=0.4)
    assert float(loss) == pytest.approx(math.log(2))
    loss = am_softmax(cosines, torch.tensor([1]), scale=30, margin=0.4)
    assert float(loss) == pytest.approx(30 * 0.8, rel=1e-4)


def test_against_the_formula() -> None:
    cosines = torch.rand(5, 4, generator=torch.Generator().manual_seed(0)) * 2 - 1
    labels = [3, 0, 0, 2, 1]
    total = 0.0
    for row, label in zip(cosines.tolist(), labels, strict=True):
        true = math.exp(10 * (row[label] - 0.2))
        others = sum(math.exp(10 * value) for k, value in enumerate(row) if k != label)
        total -= math.log(true / (true + others)) / len(labels)
    found = am_softmax(cosines, torch.tensor(labels), scale=10, margin=0.2)
    assert float(found) == pytest.approx(total, rel=1e-5)
