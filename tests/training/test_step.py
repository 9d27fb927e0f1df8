"""Proves what one step does to the weights, by hand."""

import pytest
import torch
from torch import Tensor, nn

from avrep.objectives.base import BatchTensors, LossOut
from avrep.training.step import take_step


class _Slope(nn.Module):
    """The loss 3 a + 4 b: its gradient is (3, 4), of length 5."""

    def __init__(self) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.zeros(2))

    def forward(self, batch: BatchTensors, rng: torch.Generator) -> LossOut:
        del batch, rng
        return LossOut(loss=(torch.tensor([3.0, 4.0]) * self.weights).sum())


def _step(max_grad_norm: float | None) -> tuple[Tensor, float]:
    module = _Slope()
    result = take_step(
        module,
        torch.optim.SGD(module.parameters(), lr=0.1),
        BatchTensors(step=0, views=()),
        lr=1.0,
        precision="fp32",
        seed=0,
        max_grad_norm=max_grad_norm,
    )
    return module.weights.detach(), result.grad_norm


@pytest.mark.parametrize(
    ("most", "expected"), [(None, [-3.0, -4.0]), (10.0, [-3.0, -4.0]), (0.5, [-0.3, -0.4])]
)
def test_a_long_gradient_is_scaled_and_told_as_it_came(
    most: float | None, expected: list[float]
) -> None:
    weights, grad_norm = _step(most)
    assert weights.tolist() == pytest.approx(expected, rel=1e-5)
    assert grad_norm == pytest.approx(5.0)
