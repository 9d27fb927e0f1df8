"""Proves the contrast with a queue against values worked by hand, loops in plain floats, and torch's
cross-entropy over the joined logits.
"""

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from avrep.losses.momentum_contrast import queue_info_nce, queue_top1


def _unit_rows(*shape: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return functional.normalize(torch.randn(*shape, generator=generator), dim=-1)


def test_a_value_worked_by_hand() -> None:
    # T = 1, q = (1, 0), queue = {(0, 1), (-1, 0)} with logits 0 and -1. Positives (1, 0) and (0, 1):
    # log(1 + (1 + 1/e) / e) + log(1 + (1 + 1/e)) = 0.407606 + 0.861995.
    loss = queue_info_nce(
        torch.tensor([[1.0, 0.0]]),
        torch.tensor([[[1.0, 0.0], [0.0, 1.0]]]),
        torch.tensor([[0.0, 1.0], [-1.0, 0.0]]),
        temperature=1.0,
    )
    by_hand = math.log(1 + (1 + 1 / math.e) / math.e) + math.log(1 + (1 + 1 / math.e))
    assert by_hand == pytest.approx(1.269601, abs=2e-6)
    assert loss.item() == pytest.approx(by_hand, rel=1e-6)


@pytest.mark.parametrize("temperature", [0.07, 0.5])
@pytest.mark.parametrize("num_positives", [1, 2])
def test_it_equals_loops_in_plain_floats(num_positives: int, temperature: float) -> None:
    queries, queue = _unit_rows(4, 6, seed=0), _unit_rows(9, 6, seed=1)
    positives = _unit_rows(4, num_positives, 6, seed=2)
    total = 0.0
    for query, keys in zip(queries.tolist(), positives.tolist(), strict=True):
        for key in keys:
            logits = [
                sum(x * y for x, y in zip(query, other, strict=True)) / temperature
                for other in [key, *queue.tolist()]
            ]
            total -= math.log(math.exp(logits[0]) / sum(math.exp(logit) for logit in logits))
    loss = queue_info_nce(queries, positives, queue, temperature=temperature)
    assert loss.item() == pytest.approx(total / 4, rel=1e-5)


def test_value_and_gradient_are_those_of_the_released_two_cross_entropies() -> None:
    queries = _unit_rows(5, 8, seed=0).requires_grad_()
    positives, queue = _unit_rows(5, 2, 8, seed=1), _unit_rows(30, 8, seed=2)
    loss = queue_info_nce(queries, positives, queue, temperature=0.07)
    (gradient,) = torch.autograd.grad(loss, queries)
    labels = torch.zeros(5, dtype=torch.long)
    released = torch.zeros(())
    for keys in positives.unbind(dim=1):
        own = (queries * keys).sum(dim=1, keepdim=True)
        logits = torch.cat([own, queries @ queue.T], dim=1) / 0.07
        released = released + functional.cross_entropy(logits, labels)
    (expected,) = torch.autograd.grad(released, queries)
    torch.testing.assert_close(loss, released)
    torch.testing.assert_close(gradient, expected, rtol=1e-4, atol=1e-5)


def test_it_is_computed_in_float32_under_autocast() -> None:
    queries, positives = _unit_rows(4, 16, seed=0), _unit_rows(4, 2, 16, seed=1)
    queue = _unit_rows(20, 16, seed=2)
    plain = queue_info_nce(queries, positives, queue, temperature=0.07)
    with torch.autocast("cpu", torch.bfloat16):
        cast = queue_info_nce(queries, positives, queue, temperature=0.07)
    assert cast.dtype == torch.float32
    assert torch.equal(plain, cast)


def test_top1_counts_positives_nearer_than_all_the_queue() -> None:
    queries = torch.eye(2)
    queue = torch.tensor([[0.8, 0.6], [-1.0, 0.0]])
    # To the first query 0.8 is nearest, to the second 0.6.
    positives = torch.tensor([[[1.0, 0.0], [0.6, 0.8]], [[0.7, 0.7], [0.0, 1.0]]])
    assert queue_top1(queries, positives, queue).item() == 0.75
