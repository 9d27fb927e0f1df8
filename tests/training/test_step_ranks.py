"""Proves that two ranks take the step of one, with replicated and with sharded weights, in one pass
or in micro-batches: losses, the gradient's norm, clipped updates, teachers. Two gloo ranks on the CPU,
started once.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor
from torch._C._distributed_c10d import GradBucket
from torch.distributed.tensor import DTensor
from torch.multiprocessing.spawn import spawn
from torch.nn.parallel import DistributedDataParallel

from avrep.objectives.base import BatchTensors, Objective
from avrep.objectives.cvrl import Cvrl
from avrep.objectives.hubert import Hubert
from avrep.objectives.rspnet import Rspnet
from avrep.objectives.segment_avclip import SegmentAvclip
from avrep.objectives.videomae import Videomae
from avrep.objectives.vjepa import Vjepa
from avrep.training import parallel
from avrep.training.loop import TrainConfig
from avrep.training.micro_batches import micro_batches
from avrep.training.optim import build_optimizer, layer_scales
from avrep.training.prepare import prepare
from avrep.training.step import take_step
from benchmarks.random_batch import random_batch
from tests.objectives.still import make_still
from tests.objectives.test_contract import TOYS

pytestmark = pytest.mark.slow

_RANKS = 2
_LOCAL = 4
_STEPS = 3
_CPU = torch.device("cpu")


@dataclass(frozen=True)
class _Case:
    kind: type[Objective]
    train: dict[str, Any]
    optim: dict[str, Any] = field(default_factory=dict)
    tolerance: float = 1e-4
    norms_train: bool = False

    @property
    def config(self) -> TrainConfig:
        optim = {"name": "adamw", "lr": 0.003, "eps": 1e-3, **self.optim}
        tree = {"batch_size": 8, "num_steps": _STEPS, "max_grad_norm": 0.05, "optim": optim}
        return TrainConfig.model_validate(tree | self.train)


_FSDP = {"parallel": "fsdp"}
_CASES = {
    "ddp in parts": _Case(Videomae, {"num_micro_batches": 2}),
    "fsdp": _Case(Videomae, _FSDP),
    "fsdp in parts": _Case(Hubert, {**_FSDP, "num_micro_batches": 2}),
    "fsdp, teacher": _Case(Vjepa, _FSDP),
    "fsdp, teacher, recomputed": _Case(
        Vjepa, {**_FSDP, "activation_checkpointing": True, "num_micro_batches": 4}
    ),
    "fsdp, scalar, gathered rows, norms": _Case(SegmentAvclip, _FSDP),
    "fsdp, sgd, layers": _Case(Videomae, _FSDP, {"name": "sgd", "lr": 0.1, "layer_decay": 0.5}),
    "fsdp, lars": _Case(Videomae, _FSDP, {"name": "lars", "lr": 1.0}),
    "ddp, norms train": _Case(Cvrl, {}, tolerance=1e-3, norms_train=True),
    "fsdp, norms train, recomputed": _Case(
        Rspnet, {**_FSDP, "activation_checkpointing": True}, tolerance=1e-3, norms_train=True
    ),
    "fsdp, bf16": _Case(Vjepa, {**_FSDP, "precision": "bf16"}, tolerance=0.03),
}


def _train(case: _Case, rank: int, num_ranks: int) -> dict[str, Any]:
    config = case.config
    if num_ranks == 1:
        config = config.model_copy(
            update={"num_micro_batches": 1, "activation_checkpointing": False}
        )
    objective = make_still(TOYS[case.kind](0), norms=not case.norms_train)
    whole = random_batch(objective, _RANKS * _LOCAL)
    prepare(objective, config, _CPU)
    scales = layer_scales(objective.encoders(), config.optim.layer_decay)
    optimizer = build_optimizer(objective.named_parameters(), config.optim, scales)
    module = parallel.wrap(objective, _CPU)
    told = []
    for step in range(_STEPS):
        batch = replace(whole, step=step)
        own = micro_batches(batch, num_ranks)[rank]
        result = take_step(
            module,
            optimizer,
            BatchTensors(step=step, views=own.views, addresses=own.addresses),
            lr=config.optim.lr,
            weight_decay=0.1,
            precision=config.precision,
            seed=0,
            max_grad_norm=config.max_grad_norm,
            num_micro_batches=config.num_micro_batches,
        )
        objective.after_step(step + 1, _STEPS)
        told.append((result.loss, result.grad_norm))
    state = {name: _joined(value) for name, value in objective.state_dict().items()}
    sharded = sum(isinstance(p, DTensor) for p in objective.parameters())
    local = sum(
        (p.to_local() if isinstance(p, DTensor) else p).numel() for p in objective.parameters()
    )
    return {"told": told, "state": state, "sharded": sharded, "local": local}


def _joined(value: Tensor) -> Tensor:
    return value.full_tensor() if isinstance(value, DTensor) else value.clone()


def _num_exchanges() -> list[int]:
    """Of a DDP step, in one pass and in four parts."""
    found = []
    for num in (1, 4):
        objective = TOYS[Videomae](0)
        module = parallel.wrap(objective, _CPU)
        assert isinstance(module, DistributedDataParallel)
        calls: list[int] = []
        module.register_comm_hook(calls, _count)
        optimizer = torch.optim.SGD(objective.parameters(), lr=0.0)
        take_step(
            module,
            optimizer,
            random_batch(objective, 4),
            lr=0.0,
            precision="fp32",
            seed=0,
            num_micro_batches=num,
        )
        found.append(len(calls))
    return found


def _count(calls: list[int], bucket: GradBucket) -> torch.futures.Future[Tensor]:
    """In the place of an exchange."""
    calls.append(bucket.index())
    future: torch.futures.Future[Tensor] = torch.futures.Future()
    future.set_result(bucket.buffer())
    return future


def _rank_main(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=_RANKS
    )
    results: dict[str, Any] = {name: _train(case, rank, _RANKS) for name, case in _CASES.items()}
    results["exchanges"] = _num_exchanges()
    torch.save(results, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    folder: Path = tmp_path_factory.mktemp("ranks")
    spawn(_rank_main, args=(str(folder),), nprocs=_RANKS)
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(_RANKS)]


@pytest.mark.parametrize("name", _CASES)
def test_two_ranks_take_the_steps_of_one(ranks: list[dict[str, Any]], name: str) -> None:
    case = _CASES[name]
    alone = _train(case, 0, 1)
    started = TOYS[case.kind](0).state_dict()
    assert any(not torch.equal(alone["state"][key], value) for key, value in started.items())
    for result in (rank[name] for rank in ranks):
        for (loss, norm), (other, other_norm) in zip(result["told"], alone["told"], strict=True):
            assert loss == pytest.approx(other, rel=case.tolerance)
            assert norm == pytest.approx(other_norm, rel=5 * case.tolerance)
            assert other_norm > 0.05
        assert result["state"].keys() == alone["state"].keys()
        for key, value in alone["state"].items():
            moved = (value - started[key]).abs().max().item() if value.is_floating_point() else 0
            torch.testing.assert_close(
                result["state"][key],
                value,
                rtol=1e-5,
                atol=10 * case.tolerance * moved + 1e-6,
                msg=key,
            )


def test_a_rank_holds_half_of_the_weights(ranks: list[dict[str, Any]]) -> None:
    whole = sum(p.numel() for p in TOYS[Vjepa](0).parameters())
    for rank in ranks:
        assert rank["fsdp, teacher"]["sharded"] == len(list(TOYS[Vjepa](0).parameters()))
        assert rank["fsdp, teacher"]["local"] == pytest.approx(whole / 2, rel=0.02)
        assert rank["ddp in parts"]["sharded"] == 0


def test_ddp_exchanges_gradients_once_a_step(ranks: list[dict[str, Any]]) -> None:
    for rank in ranks:
        once, in_parts = rank["exchanges"]
        assert once == in_parts > 0
