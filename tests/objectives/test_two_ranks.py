"""Proves that two ranks train as one: gathered rows, loss, and every parameter's gradient under DDP
equal what one process computes on the joined batch, with batch norm's statistics frozen and trained. Two
gloo ranks on the CPU, started once.
"""

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.multiprocessing.spawn import spawn
from torch.nn.parallel import DistributedDataParallel

from avrep.losses.gather import gather_rows
from avrep.models.heads import ProjectionHeadConfig
from avrep.models.video_conv import VideoConvConfig, build_video_conv
from avrep.objectives.base import BatchTensors, ViewTensors
from avrep.objectives.cvrl import Cvrl, CvrlConfig
from avrep.sampling.pairs import PairConfig
from avrep.training import parallel

_RANKS = 2
_LOCAL = 3


def _videos() -> Tensor:
    """float32[view b 3 t h w] of the joined batch."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn(2, _RANKS * _LOCAL, 3, 4, 16, 16, generator=generator)


def _objective() -> Cvrl:
    config = CvrlConfig(
        sampler=PairConfig(num_frames=4),
        crop_px=16,
        head=ProjectionHeadConfig(hidden_width=16, num_hidden=2, out_width=8),
    )
    encoder = build_video_conv(VideoConvConfig(arch="r3d_18_fast", base_width=4), 0)
    objective = Cvrl(config, encoder, 0)
    # Few clips of few frames make outsized averages; an ordinary spread shows errors better.
    for module in objective.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm3d):
            nn.init.constant_(module.bias, 0.1)
    return objective


def _freeze_norms(objective: nn.Module) -> None:
    for module in objective.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm3d):
            module.eval()


def _batch(videos: Tensor) -> BatchTensors:
    pts_s = torch.zeros(videos.shape[1], videos.shape[3], dtype=torch.float64)
    return BatchTensors(step=0, views=tuple(ViewTensors(video=v, pts_s=pts_s) for v in videos))


def _gradients(module: nn.Module) -> dict[str, Tensor]:
    return {name: p.grad.clone() for name, p in module.named_parameters() if p.grad is not None}


def _gather_case(rank: int) -> tuple[Tensor, Tensor]:
    """A rank's rows, and what its loss weighs all the rows with."""
    generator = torch.Generator().manual_seed(10 + rank)
    rows = torch.randn(_LOCAL, 2, generator=generator)
    return rows, torch.randn(_RANKS * _LOCAL, 2, generator=generator)


def _rank_main(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=_RANKS
    )
    result: dict[str, Any] = {}
    rows, weights = _gather_case(rank)
    rows.requires_grad_()
    gathered, result["offset"] = gather_rows(rows)
    (gathered * weights).sum().backward()
    result["gathered"], result["rows_gradient"] = gathered.detach(), rows.grad

    own = _videos()[:, rank * _LOCAL : (rank + 1) * _LOCAL]
    for norms in ("frozen", "trained"):
        objective = _objective()
        if norms == "frozen":
            _freeze_norms(objective)
        module = parallel.wrap(objective, torch.device("cpu"))
        assert isinstance(module, DistributedDataParallel)
        out = module(_batch(own), torch.Generator())
        out.loss.backward()
        result[norms] = {
            "loss": out.loss.detach(),
            "top1": out.metrics["contrastive_top1"],
            "gradients": _gradients(objective),
        }
    torch.save(result, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    folder: Path = tmp_path_factory.mktemp("ranks")
    spawn(_rank_main, args=(str(folder),), nprocs=_RANKS)
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(_RANKS)]


def test_rows_are_joined_in_rank_order(ranks: list[dict[str, Any]]) -> None:
    joined = torch.cat([_gather_case(rank)[0] for rank in range(_RANKS)])
    for rank, result in enumerate(ranks):
        assert torch.equal(result["gathered"], joined)
        assert result["offset"] == rank * _LOCAL


def test_a_row_s_gradient_is_that_of_all_ranks_losses(ranks: list[dict[str, Any]]) -> None:
    total = _gather_case(0)[1] + _gather_case(1)[1]
    for rank, result in enumerate(ranks):
        own = total[rank * _LOCAL : (rank + 1) * _LOCAL]
        torch.testing.assert_close(result["rows_gradient"], own)


def test_with_frozen_norms_two_ranks_equal_the_joined_batch(ranks: list[dict[str, Any]]) -> None:
    objective = _objective()
    _freeze_norms(objective)
    out = objective(_batch(_videos()), torch.Generator())
    out.loss.backward()
    _check(ranks, "frozen", out.loss, objective)
    top1 = torch.stack([result["frozen"]["top1"] for result in ranks]).mean()
    torch.testing.assert_close(top1, out.metrics["contrastive_top1"])


def test_with_trained_norms_two_ranks_equal_the_joined_batch(ranks: list[dict[str, Any]]) -> None:
    objective = _objective()
    out = objective(_batch(_videos()), torch.Generator())
    out.loss.backward()
    _check(ranks, "trained", out.loss, objective)


def _check(ranks: list[dict[str, Any]], norms: str, loss: Tensor, objective: nn.Module) -> None:
    """The ranks' mean loss, and the gradient that each of them holds after DDP's averaging."""
    losses = [result[norms]["loss"] for result in ranks]
    assert not torch.equal(losses[0], losses[1])
    torch.testing.assert_close(torch.stack(losses).mean(), loss.detach())
    expected = _gradients(objective)
    assert expected
    for result in ranks:
        gradients = result[norms]["gradients"]
        assert gradients.keys() == expected.keys()
        for name, gradient in expected.items():
            scale = gradient.abs().max().item()
            torch.testing.assert_close(
                gradients[name], gradient, rtol=1e-3, atol=1e-4 * scale, msg=name
            )
