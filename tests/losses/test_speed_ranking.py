"""Proves the margin ranking of speeds against values worked by hand and torch's own ranking loss."""

import pytest
import torch
from torch.nn import functional

from avrep.losses.speed_ranking import speed_ranking_accuracy, speed_ranking_loss

_QUERIES = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
_SAME = torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.8, 0.6]])
_OTHER = torch.tensor([[0.0, 1.0], [0.8, 0.6], [0.8, 0.6]])


def test_a_value_worked_by_hand() -> None:
    # Gaps 1, -0.2 and 0; at T = 0.5: 2, -0.4 and 0. With margin 1: 0, 1.4 and 1.
    loss = speed_ranking_loss(_QUERIES, _SAME, _OTHER, margin=1.0, temperature=0.5)
    assert loss.item() == pytest.approx(2.4 / 3, rel=1e-6)
    assert speed_ranking_accuracy(_QUERIES, _SAME, _OTHER).item() == pytest.approx(1 / 3)


def test_the_released_margin_is_0_14_in_cosines() -> None:
    query = torch.tensor([[1.0, 0.0]])
    for gap, below in ((0.139, True), (0.141, False)):
        same = torch.tensor([[gap, (1 - gap**2) ** 0.5]])
        loss = speed_ranking_loss(
            query, same, torch.tensor([[0.0, 1.0]]), margin=2.0, temperature=0.07
        )
        assert (loss.item() > 0) is below


def test_it_equals_torch_s_margin_ranking_loss_with_its_gradient() -> None:
    generator = torch.Generator().manual_seed(0)
    rows = functional.normalize(torch.randn(3, 12, 8, generator=generator), dim=-1)
    queries, same, other = rows[0].requires_grad_(), rows[1], rows[2]
    loss = speed_ranking_loss(queries, same, other, margin=2.0, temperature=0.07)
    expected = functional.margin_ranking_loss(
        (queries * same).sum(dim=1) / 0.07,
        (queries * other).sum(dim=1) / 0.07,
        torch.ones(12),
        margin=2.0,
    )
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(
        torch.autograd.grad(loss, queries), torch.autograd.grad(expected, queries)
    )


def test_it_is_computed_in_float32_under_autocast() -> None:
    plain = speed_ranking_loss(_QUERIES, _SAME, _OTHER, margin=1.0, temperature=0.07)
    with torch.autocast("cpu", torch.bfloat16):
        cast = speed_ranking_loss(
            _QUERIES, _SAME.bfloat16(), _OTHER.bfloat16(), margin=1.0, temperature=0.07
        )
    assert cast.dtype == torch.float32
    assert cast.item() == pytest.approx(plain.item(), rel=0.02)
