"""Collapse is seen: measures at their known values."""

import math
from dataclasses import asdict

import pytest
import torch
from torch import Tensor

from avrep.models.features import Encoder, Features
from avrep.objectives.base import BatchTensors, LossOut, Objective
from avrep.sampling.spec import ViewSpec
from avrep.training.monitor import (
    collapsed,
    effective_rank,
    feature_health,
    one_row_an_item,
    watch_features,
    watch_health,
)


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
    assert health.feature_uniformity == pytest.approx(0, abs=1e-5)


def test_a_collapse_is_named_by_its_encoder() -> None:
    assert collapsed({"loss": 0.0, "feature_std": 0.5, "feature_rank": 9.0}) == ()
    assert collapsed({"feature_std": 0.001, "feature_rank": 1.0}) == ("the encoder",)
    line = {"video_feature_std": 0.9, "audio_feature_std": 0.01, "audio_feature_rank": 1.1}
    assert collapsed({**line, "bottleneck": "decode"}) == ("audio",)
    spread = torch.randn(8, 16, generator=torch.Generator().manual_seed(0))
    # A direction that all clips share, as a random encoder gives, is no collapse.
    assert collapsed(asdict(feature_health(spread + 3))) == ()


def test_one_row_of_each_item_is_measured() -> None:
    rows = torch.arange(6.0)[:, None]
    assert one_row_an_item(rows, 3, items_first=False).flatten().tolist() == [0, 1, 2]
    assert one_row_an_item(rows, 3, items_first=True).flatten().tolist() == [0, 2, 4]
    assert one_row_an_item(rows, 6, items_first=True).flatten().tolist() == [0, 1, 2, 3, 4, 5]


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


class Pair(Objective):
    """Two encoders; the second gives every clip the same."""

    def __init__(self) -> None:
        super().__init__()
        self.video, self.audio = Doubler(4), Constant(4)

    def view_specs(self) -> tuple[ViewSpec, ...]:
        return ()

    def augments(self) -> tuple[None, ...]:
        return ()

    def encoders(self) -> dict[str, Encoder]:
        return {"video": self.video, "audio": self.audio}

    def forward(self, batch: BatchTensors, rng: torch.Generator) -> LossOut:
        raise NotImplementedError


class Constant(Encoder):
    def forward(self, clips: Tensor, /) -> Features:
        return Features(tokens=clips[:, None], grid=(1, 1, 1), pooled=torch.ones_like(clips))


def test_every_encoder_is_measured_and_the_collapsed_one_is_found() -> None:
    objective = Pair()
    clips = torch.randn(8, 4, generator=torch.Generator().manual_seed(0))
    with watch_health(objective) as watch:
        assert watch.measure(8) == {}
        objective.video(clips)
        assert set(watch.measure(8)) == {
            f"video_feature_{name}" for name in ("std", "rank", "uniformity")
        }
        objective.audio(clips)
        found = watch.measure(8)
        assert watch.measure(1) == {}
    assert found["video_feature_rank"] == pytest.approx(feature_health(clips).feature_rank)
    assert found["audio_feature_std"] == pytest.approx(0, abs=1e-6)
    assert collapsed(found) == ("audio",)
