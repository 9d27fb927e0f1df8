"""Proves the projection head's layers against sizes added up by hand and a slow restatement."""

import math

import torch
from torch import nn

from avrep.models.heads import ProjectionHead, ProjectionHeadConfig
from avrep.models.seeded import seeded


def test_the_default_is_cvrl_s_head() -> None:
    with torch.device("meta"):
        head = ProjectionHead(2048, ProjectionHeadConfig())
    kinds = [type(layer).__name__ for layer in head.layers]
    assert kinds == ["Linear", "BatchNorm1d", "ReLU"] * 3 + ["Linear"]
    hidden = 2048 * 2048 + 2 * 2048
    assert sum(p.numel() for p in head.parameters()) == 3 * hidden + 2048 * 128 + 128
    norms = [layer for layer in head.layers if isinstance(layer, nn.BatchNorm1d)]
    assert {(norm.momentum, norm.eps) for norm in norms} == {(0.003, 1e-5)}


def test_the_head_is_linear_norm_relu_linear() -> None:
    with seeded(0, "test"):
        head = ProjectionHead(5, ProjectionHeadConfig(hidden_width=7, num_hidden=1, out_width=3))
        features = torch.randn(6, 5)
    first, last = head.layers[0], head.layers[3]
    assert isinstance(first, nn.Linear)
    assert isinstance(last, nn.Linear)
    hidden = features @ first.weight.T
    variance = ((hidden - hidden.mean(0)) ** 2).mean(0)
    hidden = ((hidden - hidden.mean(0)) / (variance + 1e-5).sqrt()).clamp(min=0)
    torch.testing.assert_close(head(features), hidden @ last.weight.T + last.bias)
    for layer in (first, last):
        assert layer.weight.abs().max() <= math.sqrt(6 / sum(layer.weight.shape))
    assert (last.bias == 0).all()


def test_no_hidden_layers_leave_one_linear_layer() -> None:
    head = ProjectionHead(5, ProjectionHeadConfig(num_hidden=0, out_width=3))
    assert [tuple(p.shape) for p in head.parameters()] == [(3, 5), (3,)]
