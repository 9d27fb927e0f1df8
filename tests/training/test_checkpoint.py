"""Checkpoints come back whole, survive a crash while the next is written, and hold no pickle."""

import json
import os
import resource
import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from avrep.errors import ConfigError
from avrep.training import checkpoint_writer, pieces
from avrep.training.checkpoint import RunState, load_checkpoint, read_state
from avrep.training.checkpoint_store import Checkpoint, CheckpointStore
from avrep.training.checkpoint_writer import CheckpointWriter
from avrep.training.optim import Lars
from avrep.training.pieces import Piece
from avrep.training.retention import KeepBest

Optimizers = dict[str, Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer]]
OPTIMIZERS: Optimizers = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9),
    "sgd_without_momentum": lambda p: torch.optim.SGD(p, lr=0.1),
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.1),
    "fused_adamw": lambda p: torch.optim.AdamW(p, lr=0.1, fused=True),
    "lars": lambda p: Lars(p, lr=0.1, momentum=0.9, weight_decay=0.1, trust_coefficient=0.01),
}


def test_copies_are_waited_for_on_the_gpus_that_hold_the_pieces() -> None:
    """Tensors of GPUs that are not there: torch's, without data."""

    def piece(device: str) -> Piece:
        data = torch.empty(2, device=device)
        return Piece(data=data, whole=(2,), first=(0,))

    with FakeTensorMode():
        part = {
            "model": {"a": piece("cuda:1"), "b": piece("cpu")},
            "optimizer": {"a": piece("cuda:1")},
        }
    assert checkpoint_writer._gpus(part) == {torch.device("cuda:1")}
    assert not checkpoint_writer._gpus({"model": {"b": part["model"]["b"]}})


def make_model(width: int = 3) -> nn.Module:
    return nn.Sequential(nn.Linear(4, width), nn.BatchNorm1d(width))


def make_state(step: int, **metrics: float) -> RunState:
    return RunState(
        step=step,
        config={"a": {"b": 1}},
        versions={"torch": "2"},
        data_digest="d",
        metrics=metrics,
        counts={"data": {"num_clips": step}},
    )


def train_a_little(model: nn.Module, optimizer: torch.optim.Optimizer, steps: int) -> None:
    generator = torch.Generator().manual_seed(steps)
    for _ in range(steps):
        optimizer.zero_grad()
        model(torch.randn(6, 4, generator=generator)).square().sum().backward()
        optimizer.step()


def save(
    store: CheckpointStore,
    state: RunState,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    keep_last: int = 1,
    keep_best: KeepBest | None = None,
) -> Path:
    """The folder of a checkpoint that is written when this returns."""
    with CheckpointWriter(store, keep_last, keep_best) as writer:
        writer.save(state, model, optimizer)
    return Path(store.latest().url)


@pytest.fixture
def store(tmp_path: Path) -> CheckpointStore:
    return CheckpointStore(str(tmp_path / "checkpoints"))


@pytest.fixture
def model() -> nn.Module:
    return make_model()


@pytest.fixture
def optimizer(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.AdamW(model.parameters(), lr=0.1)


@pytest.mark.parametrize("name", list(OPTIMIZERS))
def test_model_optimizer_and_state_come_back(store: CheckpointStore, name: str) -> None:
    """Those who go on from there are the same to the last bit."""
    model = make_model()
    optimizer = OPTIMIZERS[name](model.parameters())
    train_a_little(model, optimizer, 3)
    save(store, make_state(3, loss=0.5), model, optimizer)
    other = make_model()
    other_optimizer = OPTIMIZERS[name](other.parameters())
    assert load_checkpoint(store.latest(), other, other_optimizer) == make_state(3, loss=0.5)
    train_a_little(model, optimizer, 2)
    train_a_little(other, other_optimizer, 2)
    for key, tensor in model.state_dict().items():
        assert torch.equal(tensor, other.state_dict()[key]), key


def test_parameters_may_stand_in_other_groups_than_when_they_were_saved(
    store: CheckpointStore,
) -> None:
    """The state goes by the parameters' names, not by their order."""
    model, other = make_model(), make_model()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    train_a_little(model, optimizer, 2)
    save(store, make_state(2), model, optimizer)
    reversed_groups = [{"params": [p]} for p in reversed(list(other.parameters()))]
    other_optimizer = torch.optim.AdamW(reversed_groups, lr=0.1)
    load_checkpoint(store.latest(), other, other_optimizer)
    for own, theirs in zip(model.parameters(), other.parameters(), strict=True):
        for key, value in optimizer.state[own].items():
            assert torch.equal(other_optimizer.state[theirs][key], value)


def test_the_newest_and_the_best_are_kept(
    store: CheckpointStore, model: nn.Module, optimizer: torch.optim.Optimizer
) -> None:
    best = KeepBest(metric="top1", mode="max")
    for step, top1 in ((5, 0.1), (10, 0.7), (100, 0.3), (1000, 0.2), (2000, float("nan"))):
        save(store, make_state(step, top1=top1), model, optimizer, 2, best)
    names = [checkpoint.name for checkpoint in store.checkpoints()]
    assert names == ["step-00000010", "step-00001000", "step-00002000"]
    save(store, make_state(3000), model, optimizer, 2)
    names = [checkpoint.name for checkpoint in store.checkpoints()]
    assert names == ["step-00002000", "step-00003000"]


@pytest.mark.parametrize("fails_at", ["save_file", "replace", "fsync"])
def test_a_crash_while_writing_leaves_the_last_one(
    store: CheckpointStore,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    monkeypatch: pytest.MonkeyPatch,
    fails_at: str,
) -> None:
    save(store, make_state(1), model, optimizer)

    def crash(*_args: object, **_kwargs: object) -> None:
        raise OSError("disk full")

    module = {"save_file": pieces, "replace": Path, "fsync": os}[fails_at]
    monkeypatch.setattr(module, fails_at, crash)
    with pytest.raises(OSError, match=r"cannot write .*disk full.*earlier ones are whole"):
        save(store, make_state(2), model, optimizer)
    monkeypatch.undo()
    assert load_checkpoint(store.latest(), model, optimizer).step == 1
    save(store, make_state(2), model, optimizer)
    assert read_state(store.latest()).step == 2


@pytest.mark.parametrize("limit_bytes", [100, 900])
def test_a_full_disk_is_one_error_and_the_last_one_stays(
    store: CheckpointStore,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    limit_bytes: int,
) -> None:
    """A limit on file sizes stands for the full disk: below it, one file or the other fails."""
    train_a_little(model, optimizer, 1)
    first = save(store, make_state(1), model, optimizer)
    sizes = {path.name: path.stat().st_size for path in first.iterdir()}
    assert 100 < sizes["model.safetensors"] < 900 < sizes["optimizer.safetensors"]
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, hard))
    try:
        with pytest.raises(OSError, match="make room, and resume"):
            save(store, make_state(2), model, optimizer)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert load_checkpoint(store.latest(), model, optimizer).step == 1
    assert Path(store.latest().url) == first


def test_what_is_saved_is_what_was_there_when_training_went_on(
    store: CheckpointStore,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The writer is held up until a further step is done; it must not write that step's weights."""
    may_write = threading.Event()
    write_part = checkpoint_writer.write_part

    def held_up(checkpoint: Checkpoint, part: Mapping[str, Mapping[str, Piece]]) -> None:
        assert may_write.wait(60)
        write_part(checkpoint, part)

    monkeypatch.setattr(checkpoint_writer, "write_part", held_up)
    train_a_little(model, optimizer, 1)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with CheckpointWriter(store, 1) as writer:
        writer.save(make_state(1), model, optimizer)
        train_a_little(model, optimizer, 1)
        assert store.checkpoints() == []
        may_write.set()
    other = make_model()
    load_checkpoint(store.latest(), other)
    for name, tensor in other.state_dict().items():
        assert torch.equal(tensor, before[name]), name
    assert not torch.equal(model.state_dict()["0.weight"], before["0.weight"])


def test_one_is_written_at_a_time_and_in_order(
    store: CheckpointStore,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    heard: list[str] = []
    write_state = checkpoint_writer.write_state

    def told(checkpoint: Checkpoint, state: RunState) -> None:
        heard.append(f"begin {state.step}")
        write_state(checkpoint, state)
        heard.append(f"end {state.step}")

    monkeypatch.setattr(checkpoint_writer, "write_state", told)
    with CheckpointWriter(store, 3) as writer:
        for step in (1, 2, 3):
            writer.save(make_state(step), model, optimizer)
    assert heard == [f"{what} {step}" for step in (1, 2, 3) for what in ("begin", "end")]


def test_an_error_in_the_background_is_told_at_the_next_save(
    store: CheckpointStore,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def crash(*_args: object, **_kwargs: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(pieces, "save_file", crash)
    writer = CheckpointWriter(store, 1)
    writer.save(make_state(1), model, optimizer)
    with pytest.raises(OSError, match="disk full"):
        writer.save(make_state(2), model, optimizer)

    def fail_in_training() -> None:
        with CheckpointWriter(store, 1) as writer:
            writer.save(make_state(1), model, optimizer)
            raise FloatingPointError

    # Where training itself fails, that is what is told.
    with pytest.raises(FloatingPointError):
        fail_in_training()


def test_damaged_weights_are_named(
    store: CheckpointStore, model: nn.Module, optimizer: torch.optim.Optimizer
) -> None:
    weights = save(store, make_state(1), model, optimizer) / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-10])
    with pytest.raises(ConfigError, match="is damaged"):
        load_checkpoint(store.latest(), make_model())
    weights.unlink()
    with pytest.raises(ConfigError, match=r"is damaged \(model.safetensors is not there\)"):
        load_checkpoint(store.latest(), make_model())


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"step": "many"}, "step Input should be a valid integer"),
        ({"num_ranks": 0}, "written by 0 ranks"),
        ({"num_ranks": 10**12}, "written by 1000000000000 ranks"),
        ({"counts": [1]}, "counts Input should be"),
        ({"config": None}, "config Input should be"),
    ],
)
def test_a_state_that_is_none_is_named(
    store: CheckpointStore,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    change: dict[str, object],
    match: str,
) -> None:
    path = save(store, make_state(1), model, optimizer) / "state.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(ConfigError, match=match):
        read_state(store.latest())
    path.write_text("[" * 100_000)
    with pytest.raises(ConfigError, match="is damaged"):
        read_state(store.latest())


def test_another_models_weights_are_refused(
    store: CheckpointStore, model: nn.Module, optimizer: torch.optim.Optimizer
) -> None:
    train_a_little(model, optimizer, 1)
    save(store, make_state(1), model, optimizer)
    with pytest.raises(ConfigError, match="does not fit this model"):
        load_checkpoint(store.latest(), make_model(width=5))
    deeper = nn.Sequential(*make_model().children(), nn.Linear(3, 2))
    with pytest.raises(ConfigError, match=r"does not fit this model.*2\.weight"):
        load_checkpoint(store.latest(), deeper)
    part = torch.optim.AdamW(list(model.parameters())[:2], lr=0.1)
    with pytest.raises(ConfigError, match=r"the optimizer has no parameter 1\.bias"):
        load_checkpoint(store.latest(), model, part)


@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.safetensors"])
def test_a_planted_pickle_is_not_run(
    store: CheckpointStore,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    tmp_path: Path,
    name: str,
) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[object, ...]:
            return (Path.touch, (tmp_path / "exploded",))

    path = save(store, make_state(1), model, optimizer)
    torch.save(Bomb(), path / name)
    with pytest.raises(ConfigError, match="is damaged"):
        load_checkpoint(store.latest(), model, optimizer)
    assert not (tmp_path / "exploded").exists()


def test_a_folder_without_checkpoints_is_named(store: CheckpointStore) -> None:
    with pytest.raises(ConfigError, match="no checkpoint in"):
        store.latest()
