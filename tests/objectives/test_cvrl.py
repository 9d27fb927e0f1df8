"""Proves CVRL's objective: a value worked by hand, a restatement in numpy loops, the released
code's views, and that it learns to tell clips apart.
"""

import math
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from avrep.models.features import Encoder, Features
from avrep.models.heads import ProjectionHeadConfig
from avrep.models.video_conv import VideoConvConfig, build_video_conv
from avrep.objectives.base import BatchTensors, ViewTensors
from avrep.objectives.cvrl import Cvrl, CvrlConfig
from avrep.sampling.pairs import PairConfig
from avrep.training.optim import OptimConfig, build_optimizer

_TOY = CvrlConfig(
    sampler=PairConfig(num_frames=4),
    crop_px=16,
    head=ProjectionHeadConfig(hidden_width=16, num_hidden=1, out_width=8),
)


class _MeanColour(Encoder):
    """A clip's feature is its mean colour: what the loss should be is then plain to see."""

    def __init__(self) -> None:
        super().__init__(3)

    def forward(self, clips: Tensor, /) -> Features:
        colours = clips.mean(dim=(2, 3, 4))
        return Features(tokens=colours[:, None], grid=(1, 1, 1), pooled=colours)


def _batch(video_a: Tensor, video_b: Tensor) -> BatchTensors:
    pts_s = torch.zeros(video_a.shape[0], video_a.shape[2], dtype=torch.float64)
    return BatchTensors(
        step=0,
        views=(ViewTensors(video=video_a, pts_s=pts_s), ViewTensors(video=video_b, pts_s=pts_s)),
    )


def _random_videos(num_clips: int, seed: int) -> tuple[Tensor, Tensor]:
    video = torch.randn(2, num_clips, 3, 4, 16, 16, generator=torch.Generator().manual_seed(seed))
    return video[0], video[1]


def _colour_objective(temperature: float) -> Cvrl:
    config = CvrlConfig(
        temperature=temperature, head=ProjectionHeadConfig(num_hidden=0, out_width=3)
    )
    objective = Cvrl(config, _MeanColour(), 0)
    head = objective.head.layers[0]
    assert isinstance(head, nn.Linear)
    nn.init.eye_(head.weight)
    return objective


def _clips(colours: list[list[float]]) -> Tensor:
    return (
        torch.tensor(colours, dtype=torch.float32)[:, :, None, None, None]
        .expand(-1, -1, 2, 8, 8)
        .contiguous()
    )


def test_a_value_worked_by_hand() -> None:
    # A red and a green clip, alike in both views but for brightness, which normalising takes away.
    # At T = 0.5: one positive of logit 2, two negatives of logit 0, on each of two sides.
    objective = _colour_objective(0.5)
    batch = _batch(_clips([[1, 0, 0], [0, 1, 0]]), _clips([[3, 0, 0], [0, 0.5, 0]]))
    out = objective(batch, torch.Generator())
    assert out.loss.item() == pytest.approx(2 * math.log(1 + 2 * math.exp(-2)), rel=1e-5)
    assert out.metrics["contrastive_top1"].item() == 1.0
    assert out.metrics["positive_cosine"].item() == pytest.approx(1.0)
    # Views exchanged between the clips: the positive is at right angles, a negative is the same.
    wrong = _batch(_clips([[1, 0, 0], [0, 1, 0]]), _clips([[0, 1, 0], [1, 0, 0]]))
    out = objective(wrong, torch.Generator())
    assert out.loss.item() == pytest.approx(2 * math.log(2 + math.exp(2)), rel=1e-5)
    assert out.metrics["contrastive_top1"].item() == 0.0


def test_it_equals_loops_over_embeddings_in_numpy() -> None:
    objective = Cvrl(_TOY, build_video_conv(VideoConvConfig(arch="r3d_18", base_width=4), 0), 0)
    videos = _random_videos(3, 0)
    loss = objective(_batch(*videos), torch.Generator()).loss.item()
    with torch.no_grad():
        projected = objective.head(objective.encoder(torch.cat(videos)).pooled).double().numpy()
    z: Any = [row / np.sqrt((row**2).sum()) for row in projected]
    expected = 0.0
    for i in range(6):
        positive = (i + 3) % 6
        total = sum(math.exp(z[i] @ z[j] / 0.1) for j in range(6) if j != i)
        expected -= math.log(math.exp(z[i] @ z[positive] / 0.1) / total) / 3
    assert loss == pytest.approx(expected, rel=1e-4)


def test_it_asks_for_what_the_released_code_uses() -> None:
    objective = Cvrl(CvrlConfig(), _MeanColour(), 0)
    (spec,) = objective.view_specs()
    assert isinstance(spec.sampler, PairConfig)
    assert (spec.sampler.num_frames, spec.sampler.stride, spec.sampler.fps) == (16, 2, None)
    assert spec.sampler.power == 1.0
    assert spec.geometry.size_px(640, 480) == (341, 256)
    first, second = objective.augments()
    assert (first.crop_px, first.blur_probability, first.solarize_probability) == (224, 1.0, 0.0)
    assert (second.crop_px, second.blur_probability, second.solarize_probability) == (224, 0.1, 0.2)
    assert (first.brightness, first.contrast, first.saturation, first.hue) == (0.8, 0.8, 0.8, 0.2)


def test_colour_strength_scales_both_views() -> None:
    for augment in Cvrl(CvrlConfig(colour_strength=0.5), _MeanColour(), 0).augments():
        strengths = (augment.brightness, augment.contrast, augment.saturation, augment.hue)
        assert strengths == (0.4, 0.4, 0.4, 0.1)


def test_the_head_does_not_start_from_the_encoder_s_draws() -> None:
    heads = [
        Cvrl(_TOY, _MeanColour(), seed).head.state_dict()["layers.0.weight"] for seed in (0, 0, 1)
    ]
    assert torch.equal(heads[0], heads[1])
    assert not torch.equal(heads[0], heads[2])


def test_other_views_are_refused() -> None:
    objective = _colour_objective(0.1)
    red, green = _clips([[1, 0, 0]]), _clips([[0, 1, 0], [0, 1, 0]])
    batch = _batch(red, red)
    missing = ViewTensors(video=None, pts_s=batch.views[0].pts_s)
    for views in (batch.views[:1], batch.views * 2, (batch.views[0], missing)):
        with pytest.raises(ValueError, match="wants two views"):
            objective(BatchTensors(step=0, views=views), torch.Generator())
    with pytest.raises(ValueError, match=r"float32\[1, 3, 2, 8, 8\].*float32\[2, 3, 2, 8, 8\]"):
        objective(_batch(red, green), torch.Generator())


@pytest.mark.parametrize(
    "wrong",
    [{"temperature": 0}, {"crop_px": 0}, {"num_frames": 16}, {"sampler": {"kind": "uniform"}}],
)
def test_a_wrong_config_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        CvrlConfig.model_validate(wrong)


def test_it_learns_to_tell_clips_apart() -> None:
    encoder = build_video_conv(VideoConvConfig(arch="r3d_18_fast", base_width=4), 0)
    objective = Cvrl(_TOY, encoder, 0)
    optimizer = build_optimizer(objective.named_parameters(), OptimConfig(lr=0.1))
    video, noise = _random_videos(8, 0)
    batch = _batch(video, video + 0.3 * noise)
    losses = []
    for _ in range(30):
        optimizer.zero_grad()
        loss = objective(batch, torch.Generator()).loss
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    out = objective(batch, torch.Generator())
    # Chance is 2 log 15 = 5.4 for loss and 1 / 8 for accuracy.
    assert losses[-1] < 0.5 < 3 < losses[0]
    assert out.metrics["contrastive_top1"].item() == 1.0
