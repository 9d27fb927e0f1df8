"""Proves that every convolutional encoder trains under CVRL and RSPNet: a loss, and a gradient for each
of its parameters after a step.
"""

from collections.abc import Callable
from typing import get_args

import pytest
import torch
from torch import Tensor

from avrep.models.features import Encoder
from avrep.models.heads import ProjectionHeadConfig
from avrep.models.video_conv import VideoConvConfig, build_video_conv
from avrep.objectives.base import BatchTensors, Objective, ViewTensors
from avrep.objectives.cvrl import Cvrl, CvrlConfig
from avrep.objectives.rspnet import Rspnet, RspnetConfig
from avrep.sampling.pairs import PairConfig
from avrep.sampling.speeds import SpeedsConfig

_ARCHS = get_args(VideoConvConfig.model_fields["arch"].annotation)


def _cvrl(encoder: Encoder) -> Objective:
    head = ProjectionHeadConfig(hidden_width=16, num_hidden=1, out_width=8)
    return Cvrl(CvrlConfig(sampler=PairConfig(num_frames=8), crop_px=32, head=head), encoder, 0)


def _rspnet(encoder: Encoder) -> Objective:
    config = RspnetConfig(
        sampler=SpeedsConfig(num_frames=8), crop_px=32, out_width=8, queue_size=16
    )
    return Rspnet(config, encoder, 0)


def _batch(num_views: int) -> BatchTensors:
    generator = torch.Generator().manual_seed(0)
    videos = torch.randn(num_views, 3, 3, 8, 32, 32, generator=generator)
    pts_s = torch.zeros(3, 8, dtype=torch.float64)
    return BatchTensors(step=0, views=tuple(ViewTensors(video=v, pts_s=pts_s) for v in videos))


@pytest.mark.slow
@pytest.mark.parametrize("build", [_cvrl, _rspnet], ids=["cvrl", "rspnet"])
@pytest.mark.parametrize("arch", _ARCHS)
def test_it_trains(arch: str, build: Callable[[Encoder], Objective]) -> None:
    encoder = build_video_conv(VideoConvConfig.model_validate({"arch": arch}), 0)
    objective = build(encoder)
    batch = _batch(len(objective.augments()))
    optimizer = torch.optim.SGD([p for p in objective.parameters() if p.requires_grad], lr=0.01)
    for step in (1, 2):
        optimizer.zero_grad()
        out = objective(batch, torch.Generator())
        assert out.loss.isfinite()
        out.loss.backward()
        # pytorchvideo's blocks start with a scale of zero, behind which nothing moves at first.
        if step == 2:
            _check_gradients(encoder)
        optimizer.step()
        objective.after_step(step, 2)


def _check_gradients(encoder: Encoder) -> None:
    for name, parameter in encoder.named_parameters():
        gradient: Tensor | None = parameter.grad
        assert gradient is not None, name
        assert gradient.isfinite().all(), name
        assert gradient.abs().sum() > 0, name
