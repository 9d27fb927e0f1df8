"""Proves of VideoMAE and MAE-ST alike: masks follow the address, two ranks train as one, and what is
hidden is learnt from what is seen. Two gloo ranks on the CPU, started once.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
from torch import Tensor
from torch.multiprocessing.spawn import spawn
from torch.nn.parallel import DistributedDataParallel

from avrep.errors import ConfigError
from avrep.models.features import Encoder
from avrep.models.mae_decoder import MaeDecoderConfig
from avrep.models.positions import PositionKind
from avrep.models.tubelet_vit import TubeletVitConfig, build_tubelet_vit
from avrep.models.video_conv import VideoConvConfig, build_video_conv
from avrep.objectives.base import BatchTensors, ViewTensors
from avrep.objectives.mae_st import MaeSt, MaeStConfig
from avrep.objectives.masked_video import MaskedVideo
from avrep.objectives.videomae import Videomae, VideomaeConfig
from avrep.sampling.clips import UniformConfig
from avrep.training.optim import OptimConfig, build_optimizer
from avrep.types import Address

_RANKS = 2
_LOCAL = 3
_DECODER = MaeDecoderConfig(width=48, depth=1, num_heads=2)


def _encoder(positions: PositionKind, seed: int, num_frames: int = 4) -> Encoder:
    config = TubeletVitConfig(
        size="micro", patch_px=8, num_frames=num_frames, crop_px=32, positions=positions
    )
    return build_tubelet_vit(config, seed)


def _videomae(seed: int = 0, num_clips: int = 1, encoder: Encoder | None = None) -> MaskedVideo:
    config = VideomaeConfig(
        sampler=UniformConfig(num_frames=4, num_clips=num_clips),
        crop_px=32,
        mask_ratio=0.75,
        decoder=_DECODER,
    )
    return Videomae(config, encoder or _encoder("sinusoid", seed), seed)


def _mae_st(seed: int = 0, num_clips: int = 1, encoder: Encoder | None = None) -> MaskedVideo:
    config = MaeStConfig(
        sampler=UniformConfig(num_frames=4, num_clips=num_clips),
        crop_px=32,
        mask_ratio=0.75,
        num_target_frames=2,
        decoder=_DECODER,
    )
    return MaeSt(config, encoder or _encoder("learned", seed), seed)


_BUILDS: dict[str, Callable[..., MaskedVideo]] = {"videomae": _videomae, "mae_st": _mae_st}
_EACH = pytest.mark.parametrize("build", _BUILDS.values(), ids=_BUILDS.keys())


def _batch(video: Tensor, epoch: int = 0, first_item: int = 0) -> BatchTensors:
    return BatchTensors(
        step=0,
        views=(ViewTensors(video=video, pts_s=torch.zeros(len(video), 4, dtype=torch.float64)),),
        addresses=tuple(Address(epoch, first_item + row) for row in range(len(video))),
    )


def _ramps(num_clips: int, seed: int) -> Tensor:
    """Clips of one ramp each, along a random direction of time and space: any cube tells it."""
    rng = np.random.default_rng(seed)
    axes = [np.linspace(-1, 1, length) for length in (4, 32, 32)]
    clips = []
    for _ in range(num_clips):
        slopes = rng.standard_normal(3)
        slopes /= np.linalg.norm(slopes)
        ramp = sum(slope * grid for slope, grid in zip(slopes, np.ix_(*axes), strict=True))
        clips.append(np.stack([ramp, -ramp, ramp]))
    return torch.from_numpy(np.stack(clips)).float()


@_EACH
def test_masks_follow_seed_and_address_alone(build: Callable[..., MaskedVideo]) -> None:
    batch = _batch(_ramps(4, 0))
    hidden = build().reconstruct(batch).hidden
    assert not torch.equal(hidden[0], hidden[1])
    # Other pictures, another place in the batch, another step: the same mask.
    turned = BatchTensors(
        step=7,
        views=(ViewTensors(video=_ramps(4, 5), pts_s=batch.views[0].pts_s),),
        addresses=batch.addresses[::-1],
    )
    assert torch.equal(build().reconstruct(turned).hidden.flip(0), hidden)
    assert not torch.equal(build(seed=1).reconstruct(batch).hidden, hidden)
    assert not torch.equal(build().reconstruct(_batch(_ramps(4, 0), epoch=1)).hidden, hidden)


@_EACH
def test_several_clips_of_an_item_have_masks_of_their_own(
    build: Callable[..., MaskedVideo],
) -> None:
    objective = build(num_clips=2)
    assert len(objective.augments()) == 2
    single = _batch(_ramps(2, 0))
    batch = BatchTensors(step=0, views=single.views * 2, addresses=single.addresses)
    hidden = objective.reconstruct(batch).hidden
    assert hidden.shape[0] == 4
    assert not torch.equal(hidden[:2], hidden[2:])
    assert objective(batch, torch.Generator()).loss.isfinite()


@_EACH
def test_other_views_are_refused(build: Callable[..., MaskedVideo]) -> None:
    objective = build()
    right = _batch(_ramps(3, 0))
    view = right.views[0]
    missing = ViewTensors(video=None, pts_s=view.pts_s)
    for wrong in (
        BatchTensors(step=0, views=(view, view), addresses=right.addresses),
        BatchTensors(step=0, views=(view,), addresses=()),
        BatchTensors(step=0, views=(missing,), addresses=right.addresses),
        _batch(_ramps(3, 0)[:, :, :2]),
        _batch(_ramps(3, 0)[..., :16]),
    ):
        with pytest.raises(ValueError, match=r"wants 1 views with video float\["):
            objective(wrong, torch.Generator())


@_EACH
def test_other_encoders_are_refused(build: Callable[..., MaskedVideo]) -> None:
    conv = build_video_conv(VideoConvConfig(arch="r3d_18_fast", base_width=4), 0)
    with pytest.raises(ConfigError, match=r"kind to tubelet_vit, not .* VideoConv"):
        build(encoder=conv)
    with pytest.raises(ConfigError, match=r"4 frames of 32 pixels, but .* built for 8 of 32"):
        build(encoder=_encoder("sinusoid", 0, num_frames=8))


@_EACH
def test_what_is_hidden_is_learnt_from_what_is_seen(build: Callable[..., MaskedVideo]) -> None:
    objective = build()
    optimizer = build_optimizer(
        objective.named_parameters(), OptimConfig(name="adamw", lr=1e-3, weight_decay=0.05)
    )
    for step in range(100):
        optimizer.zero_grad()
        objective(_batch(_ramps(8, step), epoch=step), torch.Generator()).loss.backward()
        optimizer.step()
    # Ramps never seen; who predicts each cube's mean has a loss of nearly 1.
    with torch.no_grad():
        out = objective(_batch(_ramps(32, 10_000), epoch=10_000), torch.Generator())
    assert out.metrics["target_power"].item() > 0.98
    assert out.loss.item() < 0.2
    assert out.metrics["prediction_power"].item() > 0.8


def _joined() -> Tensor:
    return _ramps(_RANKS * _LOCAL, 0)


def _gradients(objective: MaskedVideo) -> dict[str, Tensor]:
    return {n: p.grad.clone() for n, p in objective.named_parameters() if p.grad is not None}


def _rank_main(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=_RANKS
    )
    result: dict[str, Any] = {}
    for name, build in _BUILDS.items():
        objective = build()
        first = rank * _LOCAL
        batch = _batch(_joined()[first : first + _LOCAL], first_item=first)
        module = DistributedDataParallel(objective)
        out = module(batch, torch.Generator())
        out.loss.backward()
        result[name] = {
            "loss": out.loss.detach(),
            "metrics": {**out.metrics},
            "gradients": _gradients(objective),
        }
    torch.save(result, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    folder: Path = tmp_path_factory.mktemp("ranks")
    spawn(_rank_main, args=(str(folder),), nprocs=_RANKS)
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(_RANKS)]


@pytest.mark.slow
@pytest.mark.parametrize("name", _BUILDS)
def test_two_ranks_train_as_one(ranks: list[dict[str, Any]], name: str) -> None:
    objective = _BUILDS[name]()
    out = objective(_batch(_joined()), torch.Generator())
    out.loss.backward()
    results = [result[name] for result in ranks]
    assert not torch.equal(results[0]["loss"], results[1]["loss"])
    torch.testing.assert_close(torch.stack([r["loss"] for r in results]).mean(), out.loss.detach())
    for metric, value in out.metrics.items():
        torch.testing.assert_close(
            torch.stack([r["metrics"][metric] for r in results]).mean(), value
        )
    expected = _gradients(objective)
    assert expected.keys() == {name for name, _ in objective.named_parameters()}
    for result in results:
        assert result["gradients"].keys() == expected.keys()
        for parameter, gradient in expected.items():
            scale = gradient.abs().max().item()
            assert scale > 0, parameter
            torch.testing.assert_close(
                result["gradients"][parameter], gradient, rtol=1e-3, atol=1e-4 * scale
            )
