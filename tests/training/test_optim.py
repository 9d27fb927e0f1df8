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

from avrep.errors import ConfigError
from avrep.models.audio_conv import AudioConvConfig, build_audio_conv
from avrep.models.tubelet_vit import TubeletVitConfig, build_tubelet_vit
from avrep.training.optim import Lars, OptimConfig, build_optimizer, layer_scales, set_rates

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


def test_adamw_equals_its_formula_in_numpy() -> None:
    model = _model()
    config = OptimConfig(name="adamw", lr=0.1, weight_decay=0.2, betas=(0.8, 0.9), eps=1e-6)
    optimizer = build_optimizer(model.named_parameters(), config)
    weights = [parameter.detach().double().numpy().copy() for parameter in model.parameters()]
    first, second = ([np.zeros_like(array) for array in weights] for _ in range(2))
    for step, (lr, decay) in enumerate([(0.1, 0.2), (0.05, 0.3), (0.2, 0.0)], start=1):
        _give_gradients(model, step)
        set_rates(optimizer, lr, decay)
        optimizer.step()
        for i, parameter in enumerate(model.parameters()):
            assert parameter.grad is not None
            gradient = parameter.grad.double().numpy()
            if weights[i].ndim > 1:
                weights[i] *= 1 - lr * decay
            first[i] = 0.8 * first[i] + 0.2 * gradient
            second[i] = 0.9 * second[i] + 0.1 * gradient**2
            root = np.sqrt(second[i] / (1 - 0.9**step)) + 1e-6
            weights[i] -= lr * first[i] / (1 - 0.8**step) / root
            np.testing.assert_allclose(parameter.detach().numpy(), weights[i], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", _NAMES)
def test_vectors_are_decayed_where_the_config_says_so(
    name: Literal["sgd", "lars", "adamw"],
) -> None:
    config = OptimConfig(name=name, lr=0.1, weight_decay=0.5, decay_vectors=True)
    optimizer = build_optimizer(_model().named_parameters(), config)
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.5, 0.5]
    set_rates(optimizer, 0.1, 0.7)
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.7, 0.7]
    spared = build_optimizer(_model().named_parameters(), OptimConfig(name=name))
    set_rates(spared, 0.1, 0.7)
    assert [group["weight_decay"] for group in spared.param_groups] == [0.7, 0.0]


def test_lower_layers_of_an_encoder_learn_more_slowly() -> None:
    vit = build_tubelet_vit(TubeletVitConfig(size="micro"), 0)
    model = nn.ModuleDict({"vit": vit, "head": nn.Linear(2, 2)})
    config = OptimConfig(name="adamw", lr=2.0, layer_decay=0.5)
    scales = layer_scales({"video": vit}, config.layer_decay)
    optimizer = build_optimizer(model.named_parameters(), config, scales)
    set_rates(optimizer, 4.0)
    lrs = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    found = {name: lrs[id(parameter)] for name, parameter in model.named_parameters()}
    assert len(found) == len(list(model.parameters()))
    # Four blocks: the tokens' layer has 0.5^5, the first block 0.5^4, ... , the last 0.5.
    assert found["vit.embed.weight"] == 4 * 0.5**5
    assert found["vit.transformer.blocks.0.attention.qkv.weight"] == 4 * 0.5**4
    assert found["vit.transformer.blocks.3.mlp.2.bias"] == 4 * 0.5
    assert found["vit.transformer.norm.weight"] == found["head.weight"] == 4.0
    for group in optimizer.param_groups:
        dims = {parameter.ndim > 1 for parameter in group["params"]}
        assert dims == {group["weight_decay"] > 0}


def test_an_encoder_without_layers_has_none_to_scale() -> None:
    encoder = build_audio_conv(AudioConvConfig(base_width=4), 0)
    assert layer_scales({"audio": encoder}, None) == {}
    with pytest.raises(
        ConfigError, match=r"layer_decay is 0\.5, but the audio encoder, AudioConv, has"
    ):
        layer_scales({"audio": encoder}, 0.5)


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
    "wrong",
    [
        {"name": "adam"},
        {"lr": 0},
        {"momentum": 1.0},
        {"weight_decay": -1},
        {"decay": 0.1},
        {"layer_decay": 0},
        {"layer_decay": 1.1},
        {"final_weight_decay": -0.1},
    ],
)
def test_a_wrong_config_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        OptimConfig.model_validate(wrong)
