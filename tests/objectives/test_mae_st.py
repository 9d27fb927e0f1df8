"""Proves MAE-ST's objective: a loss known beforehand, a restatement in numpy loops over its target
frames, and what the released recipe asks for.
"""

import math
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from avrep.errors import ConfigError
from avrep.models.mae_decoder import MaeDecoderConfig
from avrep.models.positions import LearnedPositions
from avrep.models.tubelet_vit import TubeletVit, TubeletVitConfig, build_tubelet_vit
from avrep.objectives.base import BatchTensors, ViewTensors
from avrep.objectives.mae_st import MaeSt, MaeStConfig
from avrep.sampling.clips import UniformConfig
from avrep.types import Address

_TOY = MaeStConfig(
    sampler=UniformConfig(num_frames=8),
    crop_px=16,
    mask_ratio=0.75,
    num_target_frames=4,
    decoder=MaeDecoderConfig(width=48, depth=1, num_heads=2),
)
_ENCODER = TubeletVitConfig(size="micro", patch_px=8, num_frames=8, crop_px=16, positions="learned")


def _objective(config: MaeStConfig = _TOY, seed: int = 0) -> MaeSt:
    return MaeSt(config, build_tubelet_vit(_ENCODER, seed), seed)


def _changed(**changes: object) -> MaeStConfig:
    return _TOY.model_copy(update=changes)


def _batch(video: Tensor) -> BatchTensors:
    pts_s = torch.zeros(video.shape[0], video.shape[2], dtype=torch.float64)
    return BatchTensors(
        step=0,
        views=(ViewTensors(video=video, pts_s=pts_s),),
        addresses=tuple(Address(0, item) for item in range(len(video))),
    )


def _noise(num_clips: int = 3) -> Tensor:
    return torch.randn(num_clips, 3, 8, 16, 16, generator=torch.Generator().manual_seed(0))


def test_who_predicts_each_patch_s_mean_has_a_loss_known_beforehand() -> None:
    objective = _objective()
    nn.init.zeros_(objective.decoder.head.weight)
    out = objective(_batch(_noise()), torch.Generator())
    # 192 values with an unbiased deviation of 1 have a mean square of 191 / 192.
    assert out.loss.item() == pytest.approx(191 / 192, rel=1e-4)
    # Without normalising, the mean square of the frames themselves, which is 1 here.
    raw = _objective(_changed(normalise_targets=False))
    nn.init.zeros_(raw.decoder.head.weight)
    assert raw(_batch(_noise()), torch.Generator()).loss.item() == pytest.approx(1, rel=0.05)


@pytest.mark.parametrize(("num_target_frames", "frames"), [(4, [0, 2, 4, 7]), (8, [*range(8)])])
@pytest.mark.parametrize("normalise_targets", [True, False])
def test_it_equals_loops_in_numpy(
    num_target_frames: int, frames: list[int], normalise_targets: bool
) -> None:
    objective = _objective(
        _changed(num_target_frames=num_target_frames, normalise_targets=normalise_targets)
    )
    video = _noise(2)
    batch = _batch(video)
    loss = objective(batch, torch.Generator()).loss.item()
    hidden = objective.reconstruct(batch).hidden
    assert hidden.sum(dim=1).tolist() == [12, 12]
    kept, masked = (
        torch.stack([torch.nonzero(row)[:, 0] for row in rows]) for rows in (~hidden, hidden)
    )
    with torch.no_grad():
        tokens = objective.encoder(video, kept).tokens
        predicted: Any = objective.decoder(tokens, kept, masked, (4, 2, 2)).double().numpy()
    target = video.double().numpy()[:, :, frames]
    each = num_target_frames // 4
    total, count = 0.0, 0
    for clip in range(2):
        for number, place in enumerate(masked[clip].tolist()):
            t, y, x = place // 4, place // 2 % 2, place % 2
            patch = target[clip, :, each * t : each * (t + 1), 8 * y : 8 * y + 8, 8 * x : 8 * x + 8]
            if normalise_targets:
                variance = ((patch - patch.mean()) ** 2).sum() / (patch.size - 1)
                patch = (patch - patch.mean()) / math.sqrt(variance + 1e-6)
            for channel in range(3):
                for pixel, value in enumerate(patch[channel].ravel()):
                    total += (predicted[clip, number, 3 * pixel + channel] - value) ** 2
                    count += 1
    assert loss == pytest.approx(total / count, rel=1e-4)


def test_masks_do_not_part_time_from_space() -> None:
    hidden = torch.cat(
        [_objective(seed=seed).reconstruct(_batch(_noise())).hidden for seed in range(8)]
    )
    assert (hidden.sum(dim=1) == 12).all()
    per_time = hidden.unflatten(1, (4, 4)).sum(dim=2)
    assert per_time.unique().tolist() == [1, 2, 3, 4]


def test_pictures_are_of_the_target_frames() -> None:
    objective = _objective()
    colours = torch.rand(2, 3, 8, 16, 16, generator=torch.Generator().manual_seed(0))
    made = objective.reconstruct(_batch((colours - 0.45) / 0.225))
    torch.testing.assert_close(made.frames, colours[:, :, [0, 2, 4, 7]], atol=1e-5, rtol=0)
    grey = (made.seen == 0.5).all(dim=1).float().mean().item()
    assert grey == pytest.approx(0.75)
    shown = (made.seen != 0.5).any(dim=1, keepdim=True).expand_as(made.seen)
    assert torch.equal(made.filled[shown], made.frames[shown])
    assert made.filled.min() >= 0
    assert made.filled.max() <= 1


def test_it_asks_for_what_the_released_recipe_does() -> None:
    with torch.device("meta"):
        encoder = TubeletVit(TubeletVitConfig(size="large", positions="learned"))
    objective = MaeSt(MaeStConfig(), encoder, 0)
    (spec,) = objective.view_specs()
    assert isinstance(spec.sampler, UniformConfig)
    assert (spec.sampler.num_frames, spec.sampler.stride, spec.sampler.fps) == (16, 4, 30)
    (augment,) = objective.augments()
    assert (augment.crop_px, augment.area, augment.aspect) == (224, (0.5, 1.0), (0.75, 1.333))
    assert (augment.mean, augment.std) == ((0.45,) * 3, (0.225,) * 3)
    assert augment.flip_probability == 0.5
    assert (augment.jitter_probability, augment.gray_probability) == (0, 0)
    assert objective.target_frames.tolist() == [0, 2, 4, 6, 8, 10, 12, 15]
    assert objective.decoder.head.out_features == 768
    assert len(objective.decoder.transformer.blocks) == 4
    assert isinstance(objective.decoder.positions, LearnedPositions)
    assert objective.decoder.positions.space.shape == (196, 512)
    assert objective.decoder.embed.bias is not None
    sample = objective.draw_mask(np.random.default_rng(0))
    assert (len(sample.kept), len(sample.masked)) == (156, 1412)


@pytest.mark.parametrize("num_target_frames", [3, 6, 16])
def test_target_frames_that_do_not_fit_are_refused(num_target_frames: int) -> None:
    with pytest.raises(ConfigError, match=rf"num_target_frames is {num_target_frames}: .* of 4, "):
        _objective(_changed(num_target_frames=num_target_frames))


@pytest.mark.parametrize(
    "wrong", [{"mask_ratio": 1}, {"num_target_frames": 0}, {"repeat_aug": 4}, {"kind": "mae"}]
)
def test_a_wrong_config_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        MaeStConfig.model_validate(wrong)
