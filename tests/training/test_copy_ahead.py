"""A batch is copied while the one before it is trained on; on the CPU nothing changes."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from itertools import count

import numpy as np
import pytest
import torch

from avrep.objectives.base import BatchTensors
from avrep.training import copy_ahead
from avrep.training.copy_ahead import CopyAhead
from avrep.training.inputs import move_batch
from avrep.types import Address, Batch, View
from tests.faults.victims import wait_until

CPU = torch.device("cpu")


def make_batch(step: int, *, num_frames: int = 2) -> Batch:
    rng = np.random.default_rng(step)
    view = View(
        video=rng.integers(0, 256, (2, num_frames, 8, 8, 3), dtype=np.uint8),
        size_px=np.full((2, 2), 8, np.int32),
        pts_s=rng.random((2, num_frames)),
        audio=rng.normal(size=(2, 50)).astype(np.float32),
        audio_start_s=rng.random(2),
        num_samples=np.array([50, 40]),
        rate_hz=100,
    )
    addresses = (Address(0, step), Address(0, step + 1))
    own = {"step": step, "addresses": addresses, "keys": ("a", "b")}
    return Batch(**own, views=(view,), others={"speech": Batch(**own, views=(view, view))})


def tensors_of(batch: BatchTensors) -> list[torch.Tensor]:
    own = [getattr(view, field.name) for view in batch.views for field in fields(view)]
    found = [value for value in own if isinstance(value, torch.Tensor)]
    return found + [tensor for other in batch.others.values() for tensor in tensors_of(other)]


def assert_same(left: BatchTensors, right: BatchTensors) -> None:
    assert (left.step, left.addresses) == (right.step, right.addresses)
    pairs = list(zip(tensors_of(left), tensors_of(right), strict=True))
    assert len(pairs) == 15
    for mine, other in pairs:
        assert mine.dtype == other.dtype
        assert torch.equal(mine.cpu(), other.cpu())


def test_on_the_cpu_nothing_is_drawn_or_copied_ahead() -> None:
    stream = iter([make_batch(0), make_batch(1)])
    with CopyAhead(CPU) as copies:
        assert copies.ahead(stream) is stream
        batch = next(stream)
        moved = copies.take(batch)
        assert_same(moved, move_batch(batch, CPU))
        ours, theirs = moved.views[0].video, batch.views[0].video
        assert ours is not None
        assert theirs is not None
        assert ours.data_ptr() == theirs.ctypes.data


class FakeStream:
    """What is asked of a CUDA stream, written down."""

    def __init__(self, name: str, said: list[str]) -> None:
        self.name, self._said = name, said

    def say(self, what: str) -> None:
        self._said.append(f"{self.name}: {what}")

    def wait_event(self, event: "FakeEvent") -> None:
        self.say(f"waits for event {event.number}")


class FakeEvent:
    numbers = count()

    def __init__(self) -> None:
        self.number = next(self.numbers)

    def record(self, stream: FakeStream) -> None:
        stream.say(f"event {self.number}")


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The order of things on a GPU that is none: its copies are made on the CPU."""
    said: list[str] = []
    current = ["compute"]

    @contextmanager
    def on(stream: FakeStream) -> Iterator[None]:
        before, current[0] = current[0], stream.name
        yield
        current[0] = before

    def move(batch: Batch, device: torch.device) -> BatchTensors:
        said.append(f"{current[0]}: copy {batch.step} to {device}")
        return move_batch(batch, CPU)

    def keep(_tensor: torch.Tensor, stream: FakeStream) -> None:
        said.append(f"keep for {stream.name}")

    compute = FakeStream("compute", said)
    FakeEvent.numbers = count()
    monkeypatch.setattr(torch.cuda, "Event", FakeEvent)
    monkeypatch.setattr(torch.cuda, "Stream", lambda _device: FakeStream("copies", said))
    monkeypatch.setattr(torch.cuda, "stream", on)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda _device: compute)
    monkeypatch.setattr(torch.Tensor, "record_stream", keep)
    monkeypatch.setattr(copy_ahead, "move_batch", move)
    return said


def test_a_gpus_copies_are_asked_for_one_step_ahead_and_waited_for(said: list[str]) -> None:
    drawn: list[int] = []

    def stream() -> Iterator[Batch]:
        for step in range(3, 7):
            drawn.append(step)
            yield make_batch(step)

    seen: list[tuple[int, list[int]]] = []
    with CopyAhead(torch.device("cuda", 1)) as copies:
        for batch in copies.ahead(stream()):
            seen.append((batch.step, list(drawn)))
            last = f"copies: copy {min(batch.step + 1, 6)} to cuda:1"
            wait_until(lambda line=last: line in said, "the next batch is being copied")
            first = len(said)
            assert_same(copies.take(batch), move_batch(batch, CPU))
            asked = [line for line in said[first:] if not line.startswith("copies")]
            assert (
                asked == [f"compute: waits for event {batch.step - 3}"] + ["keep for compute"] * 6
            )
    assert seen == [(3, [3, 4]), (4, [3, 4, 5]), (5, [3, 4, 5, 6]), (6, [3, 4, 5, 6])]
    copied = [line for line in said if line.startswith("copies")]
    assert copied == [
        line
        for step in range(3, 7)
        for line in (f"copies: copy {step} to cuda:1", f"copies: event {step - 3}")
    ]


def test_a_copy_that_fails_is_told_of_where_it_is_asked_for(
    said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_batch: Batch, _device: torch.device) -> BatchTensors:
        raise torch.OutOfMemoryError("no room on the GPU")

    monkeypatch.setattr(copy_ahead, "move_batch", full)
    with CopyAhead(torch.device("cuda", 1)) as copies:
        batch = next(copies.ahead(iter([make_batch(0), make_batch(1)])))
        with pytest.raises(torch.OutOfMemoryError, match="no room"):
            copies.take(batch)
    assert said == []


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_on_a_gpu_copies_ahead_are_the_plain_copies() -> None:
    """Batches of some size, and a GPU that is always busy with the one before."""
    device = torch.device("cuda", 0)
    matrix = torch.randn(4096, 4096, device=device)
    batches = [make_batch(step, num_frames=4000 + 500 * (step % 3)) for step in range(30)]
    kept: list[list[torch.Tensor]] = []
    with CopyAhead(device) as copies:
        for batch in copies.ahead(iter(batches)):
            moved = copies.take(batch)
            for _ in range(5):
                torch.mm(matrix, matrix)
            # Read late, when the next batches have been given memory, and let go before that is done.
            kept.append([tensor.clone() for tensor in tensors_of(moved)])
            del moved
    for batch, found in zip(batches, kept, strict=True):
        plain = tensors_of(move_batch(batch, device))
        assert all(torch.equal(mine, other) for mine, other in zip(found, plain, strict=True))
