"""Proves that V-JEPA on two gloo ranks trains as one: the loss, the measures and every gradient, though
clips hide unequally many places and are cut to the shortest.
"""

from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import Tensor
from torch.multiprocessing.spawn import spawn
from torch.nn.parallel import DistributedDataParallel

from avrep.models.tubelet_vit import TubeletVitConfig, build_tubelet_vit
from avrep.models.vjepa_predictor import VjepaPredictorConfig
from avrep.objectives.base import BatchTensors, ViewTensors
from avrep.objectives.vjepa import Vjepa, VjepaConfig
from avrep.sampling.clips import UniformConfig
from avrep.types import Address

_RANKS = 2
_LOCAL = 3


def _objective() -> Vjepa:
    vit = TubeletVitConfig(
        size="micro", patch_px=8, num_frames=4, crop_px=48, positions="separable"
    )
    config = VjepaConfig(
        sampler=UniformConfig(num_frames=4),
        crop_px=48,
        predictor=VjepaPredictorConfig(width=48, depth=1, num_heads=2),
    )
    return Vjepa(config, build_tubelet_vit(vit, 0), 0)


def _batch(video: Tensor, first_item: int = 0) -> BatchTensors:
    return BatchTensors(
        step=0,
        views=(ViewTensors(video=video, pts_s=torch.zeros(len(video), 4, dtype=torch.float64)),),
        addresses=tuple(Address(0, first_item + row) for row in range(len(video))),
    )


def _joined() -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(_RANKS * _LOCAL, 3, 4, 48, 48, generator=generator)


def _halves() -> list[BatchTensors]:
    """What each rank gets."""
    return [
        _batch(half, first_item=rank * _LOCAL) for rank, half in enumerate(_joined().split(_LOCAL))
    ]


def _gradients(objective: Vjepa) -> dict[str, Tensor]:
    return {n: p.grad.clone() for n, p in objective.named_parameters() if p.grad is not None}


def _rank_main(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=_RANKS
    )
    objective = _objective()
    module = DistributedDataParallel(objective)
    out = module(_halves()[rank], torch.Generator())
    out.loss.backward()
    result = {
        "loss": out.loss.detach(),
        "metrics": {**out.metrics},
        "gradients": _gradients(objective),
    }
    torch.save(result, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.slow
def test_two_ranks_train_as_one(tmp_path: Path) -> None:
    spawn(_rank_main, args=(str(tmp_path),), nprocs=_RANKS)
    results = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(_RANKS)]
    objective = _objective()
    out = objective(_batch(_joined()), torch.Generator())
    out.loss.backward()
    sizes = {
        tuple(part.shape[1] for part in objective.draw_masks(batch, 0, torch.device("cpu")))
        for batch in _halves()
    }
    assert len(sizes) == 2
    assert not torch.equal(results[0]["loss"], results[1]["loss"])
    torch.testing.assert_close(torch.stack([r["loss"] for r in results]).mean(), out.loss.detach())
    for metric, value in out.metrics.items():
        each = torch.stack([result["metrics"][metric] for result in results])
        torch.testing.assert_close(each.mean(), value)
    assert torch.equal(*(result["metrics"]["teacher_spread"] for result in results))
    for result in results:
        for name, gradient in _gradients(objective).items():
            scale = gradient.abs().max().item()
            torch.testing.assert_close(
                result["gradients"][name], gradient, rtol=1e-3, atol=1e-4 * scale, msg=name
            )
