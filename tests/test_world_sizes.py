"""A run that goes from one rank to two and back is the run of one rank: weights, queue, momentum copy,
optimizer, place in the data and ledger. Two gloo ranks on the CPU, started once.

RSPNet on a transformer, which rounding alone does not lead astray; that batch norm too is that of one rank
is proved step by step (`tests/objectives/test_rspnet_ranks.py`).
"""

import json
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from safetensors.torch import load_file
from torch import Tensor
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from torch.multiprocessing.spawn import spawn

from avrep.assemble import build_objective
from avrep.config import RunConfig
from avrep.media.catalog import Catalog
from avrep.pretrain import pretrain
from avrep.report.ledger_table import audit_run
from avrep.trained import checkpoints, latest_checkpoint, load_encoder
from avrep.training import parallel
from avrep.training.checkpoint import RunState, load_checkpoint, part_names
from avrep.training.checkpoint_store import CheckpointStore
from avrep.training.checkpoint_writer import CheckpointWriter
from avrep.training.optim import build_optimizer
from tests.small_runs import small_config

pytestmark = pytest.mark.slow

_RANKS = 2
_BATCH = 4


def _config(catalog: Catalog) -> RunConfig:
    rspnet = {
        "kind": "rspnet",
        "sampler": {"num_frames": 4},
        "short_side_px": 24,
        "crop_px": 16,
        "out_width": 8,
        "queue_size": 10,
        "momentum": 0.8,
    }
    steps = {"num_steps": 6, "checkpoint_every_steps": 2, "keep_checkpoints": 10}
    return small_config(catalog, {"num_decode_actors": 0}, {"batch_size": _BATCH, **steps}, rspnet)


def _join(rank: int, folder: str, name: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/{name}", rank=rank, world_size=_RANKS
    )


def _rank_main(rank: int, folder: str, config: RunConfig) -> None:
    _join(rank, folder, "rendezvous")
    pretrain(config, Path(folder) / "run", resume=True, stop_after=4)
    _shard_and_save(rank, config, Path(folder))
    _load_sharded(config, Path(folder))
    dist.destroy_process_group()


def _shard_and_save(rank: int, config: RunConfig, folder: Path) -> None:
    """Two steps of FSDP2 on weights that one rank saved, and a checkpoint of what came of them."""
    objective, optimizer = _sharded(config)
    load_checkpoint(latest_checkpoint(folder / "alone"), objective, optimizer)
    are_shards = {isinstance(parameter, DTensor) for parameter in optimizer.state}
    assert are_shards == {True, False}
    for parameter, state in optimizer.state.items():
        assert isinstance(state["exp_avg"], DTensor) == isinstance(parameter, DTensor)
    for step in range(2):
        for number, parameter in enumerate(p for p in objective.parameters() if p.requires_grad):
            parameter.grad = torch.full_like(parameter, 0.01 * (number + step))
        optimizer.step()
    with CheckpointWriter(CheckpointStore(str(folder / "sharded")), keep_last=1) as writer:
        state = RunState(step=2, config={}, versions={}, data_digest="")
        writer.save(state, objective, optimizer)
    told = {
        name: tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
        for name, tensor in objective.state_dict().items()
    }
    torch.save(told, folder / f"told-{rank}.pt")


def _load_sharded(config: RunConfig, folder: Path) -> None:
    """What two ranks saved in shards, two ranks load in shards."""
    objective, optimizer = _sharded(config)
    load_checkpoint(CheckpointStore(str(folder / "sharded")).latest(), objective, optimizer)
    told = torch.load(folder / f"told-{parallel.rank()}.pt", weights_only=True)
    for name, tensor in objective.state_dict().items():
        whole = tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
        assert torch.equal(whole, told[name]), name
    dist.barrier()


def _sharded(config: RunConfig) -> tuple[torch.nn.Module, torch.optim.Optimizer]:
    objective = build_objective(config)
    mesh = init_device_mesh("cpu", (_RANKS,))
    fully_shard(objective.encoders()["video"], mesh=mesh)
    return objective, build_optimizer(objective.named_parameters(), config.train.optim)


@pytest.fixture(scope="module")
def folder(synth_catalog: Catalog, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """RUN went from one rank to two and back; ALONE had one all the time."""
    folder = tmp_path_factory.mktemp("ranks")
    config = _config(synth_catalog)
    pretrain(config, folder / "alone")
    pretrain(config, folder / "run", stop_after=2)
    spawn(_rank_main, args=(str(folder), config), nprocs=_RANKS)
    pretrain(config, folder / "run", resume=True)
    return folder


def _weights(checkpoint_folder: str) -> dict[str, Tensor]:
    paths = sorted(Path(checkpoint_folder).glob("model*.safetensors"))
    return {name: tensor for path in paths for name, tensor in load_file(path).items()}


def test_the_run_is_that_of_one_rank(folder: Path) -> None:
    ours, theirs = (
        [json.loads(line) for line in (folder / run / "metrics.jsonl").read_text().splitlines()]
        for run in ("run", "alone")
    )
    assert [line["step"] for line in ours] == [1, 2, 3, 4, 5, 6]
    for line, expected in zip(ours, theirs, strict=True):
        for name in ("loss", "grad_norm", "queue_fill"):
            assert line[name] == pytest.approx(expected[name], rel=1e-4), (line["step"], name)
    for own, other in zip(checkpoints(folder / "run"), checkpoints(folder / "alone"), strict=True):
        weights, expected = _weights(own.url), _weights(other.url)
        assert weights.keys() == expected.keys()
        for name, tensor in expected.items():
            torch.testing.assert_close(weights[name], tensor, rtol=1e-3, atol=1e-4, msg=name)
        assert weights["queue.num_enqueued"] == own.step * _BATCH
    report = audit_run(folder / "run")["data"]
    assert report.is_whole
    assert report.num_items == 6 * _BATCH
    told = [json.loads((folder / run / "health.json").read_text()) for run in ("run", "alone")]
    assert told[0] == told[1]


def test_each_rank_wrote_its_part(folder: Path) -> None:
    """About half of the bytes each, all buffers by the first."""
    own = {checkpoint.step: Path(checkpoint.url) for checkpoint in checkpoints(folder / "run")}
    names = [*part_names("model", 2), *part_names("optimizer", 2)]
    assert sorted(path.name for path in own[4].iterdir()) == sorted([*names, "state.json"])
    sizes = [(own[4] / name).stat().st_size for name in part_names("optimizer", 2)]
    whole = (own[2] / "optimizer.safetensors").stat().st_size
    assert min(sizes) > 0.4 * whole
    first, second = (load_file(own[4] / name) for name in part_names("model", 2))
    assert {"queue.keys", "queue.num_enqueued"} <= first.keys()
    assert second
    assert not first.keys() & second.keys()


def test_shards_are_joined_without_a_process_group(folder: Path, synth_catalog: Catalog) -> None:
    """FSDP2's shards, read by one process, are what the ranks had; so is the optimizer's state."""
    config = _config(synth_catalog)
    objective = build_objective(config)
    optimizer = build_optimizer(objective.named_parameters(), config.train.optim)
    load_checkpoint(CheckpointStore(str(folder / "sharded")).latest(), objective, optimizer)
    told = torch.load(folder / "told-0.pt", weights_only=True)
    assert objective.state_dict().keys() == told.keys()
    for name, tensor in objective.state_dict().items():
        assert torch.equal(tensor, told[name]), name
    # The same two steps, taken by one process from the same checkpoint.
    alone = build_objective(config)
    alone_optimizer = build_optimizer(alone.named_parameters(), config.train.optim)
    load_checkpoint(latest_checkpoint(folder / "alone"), alone, alone_optimizer)
    for step in range(2):
        for number, parameter in enumerate(p for p in alone.parameters() if p.requires_grad):
            parameter.grad = torch.full_like(parameter, 0.01 * (number + step))
        alone_optimizer.step()
    names = {id(parameter): name for name, parameter in alone.named_parameters()}
    ours = dict(objective.named_parameters())
    assert alone_optimizer.state
    for parameter, state in alone_optimizer.state.items():
        own = ours[names[id(parameter)]]
        assert torch.equal(own, parameter)
        for key, value in state.items():
            assert torch.equal(optimizer.state[own][key], value), key


def test_an_encoder_loads_from_parts(folder: Path, tmp_path: Path) -> None:
    """With the newest checkpoint that of two ranks."""
    run = tmp_path / "run"
    run.mkdir()
    (run / "config.yaml").write_text((folder / "run" / "config.yaml").read_text())
    (run / "checkpoints").mkdir()
    (run / "checkpoints" / "step-00000004").symlink_to(
        folder / "run" / "checkpoints" / "step-00000004"
    )
    written = _weights(str(run / "checkpoints" / "step-00000004"))
    for name, tensor in load_encoder(run).state_dict().items():
        assert torch.equal(tensor, written[f"query_network.encoder.{name}"]), name
