"""Proves that two ranks train the audio-visual objectives as one: loss, metrics and every parameter's
gradient under DDP equal what one process makes of the joined batch. Two gloo ranks on the CPU, started
once; batch norm trains.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.multiprocessing.spawn import spawn

from avrep.objectives.base import BatchTensors, LossOut
from avrep.objectives.segments import Segments
from avrep.training import parallel
from tests.objectives import sync_toys

_RANKS = 2
_LOCAL = 2
_TOYS: dict[str, Callable[[], Segments]] = {
    "segment_avclip": sync_toys.segment_avclip,
    "synchformer": sync_toys.synchformer,
    "syncnet": sync_toys.syncnet,
}


def _objective(name: str) -> Segments:
    objective = _TOYS[name]()
    objective.after_step(4, 10)
    for module in objective.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d):
            nn.init.constant_(module.bias, 0.1)
    return objective


def _rows(batch: BatchTensors, rows: slice) -> BatchTensors:
    view = batch.views[0]
    tensors = {
        name: getattr(view, name)[rows]
        for name in ("video", "pts_s", "audio", "audio_start_s", "first_frame_s")
    }
    return BatchTensors(
        step=batch.step, views=(replace(view, **tensors),), addresses=batch.addresses[rows]
    )


def _result(module: nn.Module, objective: Segments, batch: BatchTensors) -> dict[str, Any]:
    out: LossOut = module(batch, torch.Generator())
    out.loss.backward()
    gradients = {n: p.grad for n, p in objective.named_parameters() if p.grad is not None}
    return {"loss": out.loss.detach(), "metrics": dict(out.metrics), "gradients": gradients}


def _rank_main(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=_RANKS
    )
    results: dict[str, Any] = {}
    for name in _TOYS:
        objective = _objective(name)
        own = _rows(
            sync_toys.batch(objective, _RANKS * _LOCAL),
            slice(rank * _LOCAL, (rank + 1) * _LOCAL),
        )
        results[name] = _result(parallel.wrap(objective, torch.device("cpu")), objective, own)
    torch.save(results, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    folder: Path = tmp_path_factory.mktemp("ranks")
    spawn(_rank_main, args=(str(folder),), nprocs=_RANKS)
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(_RANKS)]


@pytest.mark.parametrize("name", _TOYS)
def test_two_ranks_equal_the_joined_batch(ranks: list[dict[str, Any]], name: str) -> None:
    objective = _objective(name)
    whole = _result(objective, objective, sync_toys.batch(objective, _RANKS * _LOCAL))
    results = [result[name] for result in ranks]
    losses = torch.stack([result["loss"] for result in results])
    assert losses[0] != losses[1]
    torch.testing.assert_close(losses.mean(), whole["loss"])
    for metric, value in whole["metrics"].items():
        mean = torch.stack([result["metrics"][metric] for result in results]).mean()
        torch.testing.assert_close(mean, value, msg=metric)
    for result in results:
        assert result["gradients"].keys() == whole["gradients"].keys()
        for parameter, gradient in whole["gradients"].items():
            scale = gradient.abs().max().item()
            torch.testing.assert_close(
                result["gradients"][parameter],
                gradient,
                rtol=1e-3,
                atol=1e-4 * scale,
                msg=parameter,
            )
