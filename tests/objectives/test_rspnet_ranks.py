"""Proves that RSPNet on two ranks is RSPNet on one: over two steps of SGD under DDP the loss, every
parameter's gradient, the queue, the key network and the averages of both networks' batch norms equal
those of one process on the joined batch. Two gloo ranks on the CPU, started once.
"""

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.multiprocessing.spawn import spawn
from torch.nn.parallel import DistributedDataParallel

from avrep.models.video_conv import VideoConvConfig, build_video_conv
from avrep.objectives.base import BatchTensors, ViewTensors
from avrep.objectives.rspnet import Rspnet, RspnetConfig
from avrep.training import parallel

pytestmark = pytest.mark.slow

_RANKS = 2
_LOCAL = 3
_STEPS = 2


def _videos(step: int) -> Tensor:
    """float32[view b 3 t h w] of the joined batch."""
    generator = torch.Generator().manual_seed(step)
    return torch.randn(3, _RANKS * _LOCAL, 3, 4, 16, 16, generator=generator)


def _objective() -> Rspnet:
    encoder = build_video_conv(VideoConvConfig(arch="r3d_18_fast", base_width=4), 0)
    # The joined batch of 6 does not divide the queue of 8.
    objective = Rspnet(RspnetConfig(out_width=8, queue_size=8, momentum=0.8), encoder, 0)
    for module in objective.modules():
        if isinstance(module, nn.BatchNorm3d):
            nn.init.constant_(module.bias, 0.1)
    return objective


def _train(
    objective: Rspnet,
    module: nn.Module,
    rows: slice,
    others: list[dict[str, Any]] | None = None,
) -> list[dict[str, Any]]:
    """What is known after each step; `module` is the objective or its wrapper.

    With `others`, each step begins with the state that theirs began with: where norms train on so few
    clips, rounding alone moves a unit over the edge of its ReLU, and all that follows.
    """
    optimizer = torch.optim.SGD(
        [parameter for parameter in objective.parameters() if parameter.requires_grad], lr=0.002
    )
    history = []
    for step in range(_STEPS):
        if others is not None and step > 0:
            objective.load_state_dict(others[step - 1]["state"])
        videos = _videos(step)[:, rows]
        pts_s = torch.zeros(videos.shape[1], videos.shape[3], dtype=torch.float64)
        views = tuple(ViewTensors(video=video, pts_s=pts_s) for video in videos)
        out = module(BatchTensors(step=step, views=views), torch.Generator())
        optimizer.zero_grad()
        out.loss.backward()
        gradients = {
            name: parameter.grad.clone()
            for name, parameter in objective.named_parameters()
            if parameter.grad is not None
        }
        optimizer.step()
        objective.after_step(step + 1, _STEPS)
        history.append(
            {
                "loss": out.loss.detach(),
                "metrics": dict(out.metrics),
                "gradients": gradients,
                "state": {name: value.clone() for name, value in objective.state_dict().items()},
            }
        )
    return history


def _rank_main(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=_RANKS
    )
    objective = _objective()
    module = parallel.wrap(objective, torch.device("cpu"))
    assert isinstance(module, DistributedDataParallel)
    history = _train(objective, module, slice(rank * _LOCAL, (rank + 1) * _LOCAL))
    torch.save(history, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def histories(tmp_path_factory: pytest.TempPathFactory) -> list[list[dict[str, Any]]]:
    folder: Path = tmp_path_factory.mktemp("ranks")
    spawn(_rank_main, args=(str(folder),), nprocs=_RANKS)
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(_RANKS)]


@pytest.fixture(scope="module")
def joined(histories: list[list[dict[str, Any]]]) -> list[dict[str, Any]]:
    objective = _objective()
    return _train(objective, objective, slice(None), histories[0])


def test_losses_and_metrics_have_the_joined_batch_s_mean(
    histories: list[list[dict[str, Any]]], joined: list[dict[str, Any]]
) -> None:
    for ranks, whole in zip(zip(*histories, strict=True), joined, strict=True):
        losses = torch.stack([rank["loss"] for rank in ranks])
        assert losses[0] != losses[1]
        torch.testing.assert_close(losses.mean(), whole["loss"], rtol=1e-4, atol=1e-5)
        for name, value in whole["metrics"].items():
            mean = torch.stack([rank["metrics"][name] for rank in ranks]).mean()
            torch.testing.assert_close(mean, value, rtol=1e-4, atol=1e-5, msg=name)


def test_gradients_are_the_joined_batch_s(
    histories: list[list[dict[str, Any]]], joined: list[dict[str, Any]]
) -> None:
    for ranks, whole in zip(zip(*histories, strict=True), joined, strict=True):
        assert whole["gradients"]
        for rank in ranks:
            assert rank["gradients"].keys() == whole["gradients"].keys()
            for name, gradient in whole["gradients"].items():
                scale = gradient.abs().max().item()
                torch.testing.assert_close(
                    rank["gradients"][name], gradient, rtol=1e-3, atol=1e-4 * scale, msg=name
                )


def test_queue_key_network_and_weights_are_those_of_one_process(
    histories: list[list[dict[str, Any]]], joined: list[dict[str, Any]]
) -> None:
    for ranks, whole in zip(zip(*histories, strict=True), joined, strict=True):
        for rank in ranks:
            assert rank["state"].keys() == whole["state"].keys()
            for name, value in whole["state"].items():
                torch.testing.assert_close(
                    rank["state"][name], value, rtol=1e-4, atol=1e-5, msg=name
                )
    # The ranks among themselves agree to the bit.
    first, second = (history[-1]["state"] for history in histories)
    for name in first:
        if name.startswith(("queue.", "key_network.")):
            assert torch.equal(first[name], second[name]), name
    assert joined[-1]["state"]["queue.num_enqueued"].item() == _STEPS * _RANKS * _LOCAL
