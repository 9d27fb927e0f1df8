"""Checkpoints come back whole, survive a crash while the next is written, and hold no pickle."""

import os
import pickle
import resource
from pathlib import Path

import pytest
import torch
from torch import nn

from avrep.errors import ConfigError
from avrep.training import checkpoint
from avrep.training.checkpoint import RunState


def make_model(width: int = 3) -> nn.Module:
    return nn.Sequential(nn.Linear(4, width), nn.BatchNorm1d(width))


def make_state(step: int) -> RunState:
    return RunState(step=step, config={"a": {"b": 1}}, versions={"torch": "2"}, data_digest="d")


def train_a_little(model: nn.Module, optimizer: torch.optim.Optimizer, steps: int) -> None:
    generator = torch.Generator().manual_seed(steps)
    for _ in range(steps):
        optimizer.zero_grad()
        model(torch.randn(6, 4, generator=generator)).square().sum().backward()
        optimizer.step()


def test_model_optimizer_and_state_come_back(tmp_path: Path) -> None:
    model = make_model()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    train_a_little(model, optimizer, 3)
    checkpoint.save_checkpoint(tmp_path, make_state(3), model, optimizer, keep=2)
    other = make_model()
    other_optimizer = torch.optim.AdamW(other.parameters(), lr=0.1)
    state = checkpoint.load_checkpoint(
        checkpoint.latest_checkpoint(tmp_path), other, other_optimizer
    )
    assert state == make_state(3)
    train_a_little(model, optimizer, 2)
    train_a_little(other, other_optimizer, 2)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, other.state_dict()[name]), name


def test_only_the_newest_are_kept(tmp_path: Path) -> None:
    model = make_model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for step in (5, 10, 100, 1000):
        checkpoint.save_checkpoint(tmp_path, make_state(step), model, optimizer, keep=2)
    names = [path.name for path in checkpoint.checkpoints(tmp_path)]
    assert names == ["step-00000100", "step-00001000"]


@pytest.mark.parametrize("fails_at", ["save_file", "rename", "fsync"])
def test_a_crash_while_writing_leaves_the_last_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails_at: str
) -> None:
    model = make_model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    checkpoint.save_checkpoint(tmp_path, make_state(1), model, optimizer, keep=1)

    def crash(*_args: object, **_kwargs: object) -> None:
        raise OSError("disk full")

    if fails_at == "save_file":
        monkeypatch.setattr(checkpoint, "save_file", crash)
    elif fails_at == "fsync":
        monkeypatch.setattr(os, "fsync", crash)
    else:
        monkeypatch.setattr(Path, "rename", crash)
    with pytest.raises(OSError, match="disk full"):
        checkpoint.save_checkpoint(tmp_path, make_state(2), model, optimizer, keep=1)
    monkeypatch.undo()
    latest = checkpoint.latest_checkpoint(tmp_path)
    assert checkpoint.load_checkpoint(latest, make_model(), optimizer).step == 1
    checkpoint.save_checkpoint(tmp_path, make_state(2), model, optimizer, keep=1)
    assert checkpoint.read_state(checkpoint.latest_checkpoint(tmp_path)).step == 2


@pytest.mark.parametrize("limit_bytes", [100, 1200])
def test_a_full_disk_is_one_error_and_the_last_one_stays(tmp_path: Path, limit_bytes: int) -> None:
    """A limit on file sizes stands for the full disk: below it, one file or the other fails."""
    model = make_model()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    train_a_little(model, optimizer, 1)
    first = checkpoint.save_checkpoint(tmp_path, make_state(1), model, optimizer, keep=1)
    sizes = {path.name: path.stat().st_size for path in first.iterdir()}
    assert 100 < sizes["model.safetensors"] < 1200 < sizes["optimizer.pt"]
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, hard))
    try:
        with pytest.raises(OSError, match="make room and resume"):
            checkpoint.save_checkpoint(tmp_path, make_state(2), model, optimizer, keep=1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert checkpoint.load_checkpoint(first, make_model(), optimizer).step == 1
    assert checkpoint.latest_checkpoint(tmp_path) == first


def test_damaged_weights_are_named(tmp_path: Path) -> None:
    model = make_model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    path = checkpoint.save_checkpoint(tmp_path, make_state(1), model, optimizer, keep=1)
    weights = path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-10])
    with pytest.raises(ConfigError, match="is damaged"):
        checkpoint.load_checkpoint(path, make_model())


def test_another_models_weights_are_refused(tmp_path: Path) -> None:
    model = make_model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    path = checkpoint.save_checkpoint(tmp_path, make_state(1), model, optimizer, keep=1)
    with pytest.raises(ConfigError, match="does not fit this model"):
        checkpoint.load_checkpoint(path, make_model(width=5))


def test_a_planted_pickle_is_not_run(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[object, ...]:
            return (Path.touch, (tmp_path / "exploded",))

    model = make_model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    path = checkpoint.save_checkpoint(tmp_path, make_state(1), model, optimizer, keep=1)
    torch.save(Bomb(), path / "optimizer.pt")
    with pytest.raises(pickle.UnpicklingError):
        checkpoint.load_checkpoint(path, model, optimizer)
    assert not (tmp_path / "exploded").exists()


def test_a_folder_without_checkpoints_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no checkpoint in"):
        checkpoint.latest_checkpoint(tmp_path)
