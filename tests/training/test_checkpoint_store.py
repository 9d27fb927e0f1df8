"""A folder, fsspec's memory and a server that speaks S3 keep the same promises to checkpoints."""

import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import fsspec
import pytest
import torch
from torch import nn

from avrep.errors import ConfigError, ShardError
from avrep.media.storage import StorageConfig
from avrep.training.checkpoint import RunState, load_checkpoint
from avrep.training.checkpoint_store import STATE_FILE, Checkpoint, CheckpointStore
from avrep.training.checkpoint_writer import CheckpointWriter
from tests.servers.faulty_http import Fault, FaultyServer
from tests.servers.s3_store import faulty_s3

SWIFT = StorageConfig(max_attempts=4, first_wait_s=0.001, timeout_s=10)
BUSY = Fault(kind="status", status=503, code="SlowDown")


@pytest.fixture(scope="module")
def server() -> Iterator[FaultyServer]:
    """A store with the bucket `runs`, reached through a server that plants faults."""
    with faulty_s3("runs") as server:
        yield server


@pytest.fixture(params=["folder", "file", "memory", pytest.param("s3", marks=pytest.mark.slow)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> CheckpointStore:
    """One of each kind, with nothing in it."""
    match request.param:
        case "folder":
            return CheckpointStore(str(tmp_path / "run" / "checkpoints"))
        case "file":
            return CheckpointStore(f"file://{tmp_path}/checkpoints")
        case "memory":
            return CheckpointStore(f"memory://{tmp_path}/checkpoints")
    running: FaultyServer = request.getfixturevalue("server")
    running.forget()
    return CheckpointStore(f"s3://runs{tmp_path}", SWIFT)


def test_a_checkpoint_is_there_once_its_state_is(store: CheckpointStore) -> None:
    assert store.checkpoints() == []
    with pytest.raises(ConfigError, match="no checkpoint in"):
        store.latest()
    for step in (20, 3, 100):
        _put(store, step, "weights")
        assert step not in [each.step for each in store.checkpoints()]
        _put(store, step, STATE_FILE)
    _put(store, 200, "weights")
    assert [each.step for each in store.checkpoints()] == [3, 20, 100]
    assert store.latest() == Checkpoint(store, 100)
    with store.files(store.latest(), ["weights", STATE_FILE]) as (weights, state):
        assert weights.read_text() == "100 weights"
        assert state.read_text() == f"100 {STATE_FILE}"
    with (
        pytest.raises(ConfigError, match=r"step-00000100 is damaged \(other is not there\)"),
        store.files(store.latest(), ["other"]),
    ):
        pass


def test_what_was_put_is_replaced_and_what_is_torn_is_removed(store: CheckpointStore) -> None:
    for step in (1, 2, 3):
        _put(store, step, "weights")
    _put(store, 2, "weights", text="anew")
    _put(store, 2, STATE_FILE)
    store.remove_torn()
    assert [each.step for each in store.checkpoints()] == [2]
    assert set(store._files()) == {2}
    with store.files(store.latest(), ["weights"]) as (path,):
        assert path.read_text() == "anew"
    store.remove(store.latest())
    assert store._files() == {}


def test_a_folder_that_is_half_removed_does_not_look_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = CheckpointStore(str(tmp_path))
    for name in ("a", STATE_FILE, "z"):
        _put(store, 5, name)

    def killed(*_args: object, **_kwargs: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(shutil, "rmtree", killed)
    with pytest.raises(KeyboardInterrupt):
        store.remove(store.latest())
    assert sorted(path.name for path in (tmp_path / "step-00000005").iterdir()) == ["a", "z"]
    assert store.checkpoints() == []
    monkeypatch.undo()
    (tmp_path / "step-00000006").mkdir()
    store.remove_torn()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_what_makes_it_whole_is_the_first_object_to_go(server: FaultyServer) -> None:
    server.forget()
    store = CheckpointStore("s3://runs/half", SWIFT)
    for name in ("a", STATE_FILE, "z"):
        _put(store, 5, name)
    store.remove(store.latest())
    deleted = [asked.path for asked in server.requests if asked.method == "DELETE"]
    assert deleted == [f"/runs/half/step-00000005/{name}" for name in (STATE_FILE, "a", "z")]


def test_a_whole_run_of_them(store: CheckpointStore) -> None:
    """Saved, thinned out, and loaded by someone else."""
    model = nn.Linear(3, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    with CheckpointWriter(store, keep_last=2) as writer:
        for step in range(1, 5):
            model(torch.ones(1, 3)).sum().backward()
            optimizer.step()
            state = RunState(step=step, config={}, versions={}, data_digest="")
            writer.save(state, model, optimizer)
    assert [each.step for each in store.checkpoints()] == [3, 4]
    other = nn.Linear(3, 2)
    assert load_checkpoint(store.latest(), other).step == 4
    assert torch.equal(other.weight, model.weight)


@pytest.mark.slow
def test_faults_of_a_store_that_pass_cost_an_attempt(server: FaultyServer) -> None:
    server.forget()
    store = CheckpointStore("s3://runs/faults", SWIFT)
    place = "/runs/faults/step-00000001/weights"
    server.plan(place, BUSY, BUSY, method="PUT")
    _put(store, 1, "weights")
    _put(store, 1, STATE_FILE)
    server.plan(place, BUSY, Fault(kind="cut", num_bytes=2))
    server.plan("/runs", BUSY)
    with store.files(store.latest(), ["weights"]) as (path,):
        assert path.read_text() == "1 weights"


@pytest.mark.slow
def test_a_store_that_fails_is_not_one_without_checkpoints(server: FaultyServer) -> None:
    server.forget()
    store = CheckpointStore("s3://runs/failing", SWIFT)
    _put(store, 1, STATE_FILE)
    server.always(None, BUSY)
    server.always(None, BUSY, method="HEAD")
    server.always(None, BUSY, method="PUT")
    with pytest.raises(ShardError, match="cannot list s3://runs/failing: 4 attempts"):
        store.checkpoints()
    with pytest.raises(ShardError, match=r"cannot write s3://runs/failing/step-00000002/weights"):
        _put(store, 2, "weights")


def _put(store: CheckpointStore, step: int, name: str, text: str | None = None) -> None:
    content = text or f"{step} {name}"
    store.put(Checkpoint(store, step), name, partial(_write, content=content))


def _write(path: Path, content: str) -> None:
    path.write_text(content)


def _fs(url: str) -> Any:
    return fsspec.filesystem(url.partition(":")[0])
