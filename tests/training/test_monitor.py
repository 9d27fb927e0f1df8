"""Collapse is seen: measures at their known values."""

import math

import pytest
import torch
from torch import Tensor

from avrep.models.features import Encoder, Features
from avrep.training.monitor import effective_rank, feature_health, watch_features


def test_effective_rank_of_known_spectra() -> None:
    assert effective_rank(torch.eye(5)) == pytest.approx(5)
    assert effective_rank(torch.outer(torch.arange(1.0, 4), torch.ones(7))) == pytest.approx(1)
    assert effective_rank(torch.zeros(3, 4)) == 0
    # Singular values 3 and 1: shares 3/4 and 1/4.
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert effective_rank(torch.diag(torch.tensor([3.0, 1.0]))) == pytest.approx(math.exp(entropy))


def test_spread_features_have_std_one_and_high_rank() -> None:
    features = torch.randn(4000, 32, generator=torch.Generator().manual_seed(0))
    health = feature_health(features)
    assert health.feature_std == pytest.approx(1, abs=0.02)
    assert health.feature_rank > 31


def test_collapsed_features_have_neither() -> None:
    health = feature_health(torch.ones(16, 8) * 3)
    assert health.feature_std == pytest.approx(0, abs=1e-6)
    assert health.feature_rank == pytest.approx(0, abs=1e-6)


def test_features_along_one_line_have_rank_one() -> None:
    line = torch.tensor([[1.0, 2.0, 3.0]])
    health = feature_health(torch.cat([line, -line, line, -line]))
    assert health.feature_rank == pytest.approx(1)


class Doubler(Encoder):
    def forward(self, clips: Tensor, /) -> Features:
        return Features(tokens=clips[:, None], grid=(1, 1, 1), pooled=2 * clips)


def test_the_watch_sees_the_last_forward_while_it_lasts() -> None:
    encoder = Doubler(2)
    with watch_features(encoder) as watch:
        assert watch.pooled is None
        encoder(torch.ones(1, 2))
        encoder(torch.full((1, 2), 3.0))
        assert watch.pooled is not None
        assert watch.pooled.tolist() == [[6.0, 6.0]]
    encoder(torch.zeros(1, 2))
    assert watch.pooled.tolist() == [[6.0, 6.0]]
