"""Proves the optimizers: LARS against a restatement in numpy, CVRL's L2 term as weight decay, and
that biases and norms are spared.
"""

import io
from typing import Literal

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import nn

from avrep.training.optim import Lars, OptimConfig, build_optimizer

_NAMES: list[Literal["sgd", "lars", "adamw"]] = ["sgd", "lars", "adamw"]


def _model() -> nn.Module:
    model = nn.Sequential(nn.Conv3d(1, 2, 2), nn.BatchNorm3d(2), nn.Flatten(), nn.Linear(2, 3))
    for index, parameter in enumerate(model.parameters()):
        generator = torch.Generator().manual_seed(index)
        parameter.data = torch.randn(parameter.shape, generator=generator)
    return model


def _give_gradients(model: nn.Module, step: int) -> None:
    for index, parameter in enumerate(model.parameters()):
        generator = torch.Generator().manual_seed(1000 * (step + 1) + index)
        parameter.grad = torch.randn(parameter.shape, generator=generator)


def test_lars_equals_its_formula_in_numpy() -> None:
    model = _model()
    config = OptimConfig(
        name="lars", lr=0.5, momentum=0.9, weight_decay=0.1, trust_coefficient=0.02
    )
    optimizer = build_optimizer(model.named_parameters(), config)
    weights = [parameter.detach().double().numpy().copy() for parameter in model.parameters()]
    velocities = [np.zeros_like(array) for array in weights]
    for step, lr in enumerate([0.5, 0.3, 0.0, 0.7]):
        _give_gradients(model, step)
        for group in optimizer.param_groups:
            group["lr"] = lr
        optimizer.step()
        for i, parameter in enumerate(model.parameters()):
            assert parameter.grad is not None
            update = parameter.grad.double().numpy()
            rate = 1.0
            if weights[i].ndim > 1:
                update = update + 0.1 * weights[i]
                rate = 0.02 * np.sqrt((weights[i] ** 2).sum()) / np.sqrt((update**2).sum())
            velocities[i] = 0.9 * velocities[i] + lr * rate * update
            weights[i] = weights[i] - velocities[i]
            np.testing.assert_allclose(parameter.detach().numpy(), weights[i], rtol=1e-5, atol=1e-6)


def test_lars_steps_plainly_where_a_norm_is_zero() -> None:
    fresh = nn.Parameter(torch.zeros(2, 2))
    fresh.grad = torch.ones(2, 2)
    still = nn.Parameter(torch.ones(2, 2))
    still.grad = torch.zeros(2, 2)
    optimizer = Lars(
        [fresh, still], lr=0.25, momentum=0.9, weight_decay=0.0, trust_coefficient=0.001
    )
    optimizer.step()
    assert torch.equal(fresh.detach(), torch.full((2, 2), -0.25))
    assert torch.equal(still.detach(), torch.ones(2, 2))


def test_lars_calls_a_closure_with_gradients_on() -> None:
    weights = nn.Parameter(torch.ones(2, 2))
    optimizer = Lars([weights], lr=1.0, momentum=0.0, weight_decay=0.0, trust_coefficient=0.5)

    def closure() -> float:
        loss = weights.square().sum()
        loss.backward()
        return loss.item()

    # The gradient is 2 w, the rate 0.5 * |w| / |2 w| = 1/4, so half of w is taken off.
    assert optimizer.step(closure) == 4.0
    assert torch.equal(weights.detach(), torch.full((2, 2), 0.5))


def test_cvrl_s_l2_term_is_sgd_s_weight_decay() -> None:
    decayed, penalised = _model(), _model()
    by_decay = build_optimizer(
        decayed.named_parameters(), OptimConfig(lr=0.1, momentum=0.9, weight_decay=0.01)
    )
    by_loss = torch.optim.SGD(penalised.parameters(), lr=0.1, momentum=0.9)
    for step in range(3):
        _give_gradients(decayed, step)
        _give_gradients(penalised, step)
        kernels = [p for p in penalised.parameters() if p.ndim > 1]
        (0.01 * torch.stack([k.square().sum() for k in kernels]).sum() / 2).backward()
        by_decay.step()
        by_loss.step()
    for one, other in zip(decayed.parameters(), penalised.parameters(), strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("name", _NAMES)
def test_biases_norms_and_frozen_parameters_are_spared(
    name: Literal["sgd", "lars", "adamw"],
) -> None:
    model = _model()
    frozen = nn.Linear(3, 3).requires_grad_(False)
    parameters = [*model.named_parameters(), *frozen.named_parameters()]
    optimizer = build_optimizer(parameters, OptimConfig(name=name, lr=0.1, weight_decay=0.5))
    kernels, vectors = optimizer.param_groups
    assert [p.ndim for p in kernels["params"]] == [5, 2]
    assert [p.ndim for p in vectors["params"]] == [1, 1, 1, 1]
    assert (kernels["weight_decay"], vectors["weight_decay"]) == (0.5, 0.0)
    before = [p.detach().clone() for p in vectors["params"]]
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    assert all(torch.equal(p, old) for p, old in zip(vectors["params"], before, strict=True))
    assert all((p.detach().abs() > 0).any() for p in kernels["params"])


@pytest.mark.parametrize("name", _NAMES)
def test_a_saved_optimizer_goes_on_as_if_never_stopped(
    name: Literal["sgd", "lars", "adamw"],
) -> None:
    config = OptimConfig(name=name, lr=0.1, weight_decay=0.01)
    straight, resumed = _model(), _model()
    optimizer = build_optimizer(straight.named_parameters(), config)
    for step in range(2):
        _give_gradients(straight, step)
        optimizer.step()
    file = io.BytesIO()
    torch.save(optimizer.state_dict(), file)
    file.seek(0)
    resumed.load_state_dict(straight.state_dict())
    other = build_optimizer(resumed.named_parameters(), config)
    other.load_state_dict(torch.load(file, weights_only=True))
    for model, its_optimizer in ((straight, optimizer), (resumed, other)):
        _give_gradients(model, 2)
        its_optimizer.step()
    for one, same in zip(straight.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(one, same)


@pytest.mark.parametrize(
    "wrong", [{"name": "adam"}, {"lr": 0}, {"momentum": 1.0}, {"weight_decay": -1}, {"decay": 0.1}]
)
def test_a_wrong_config_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        OptimConfig.model_validate(wrong)
