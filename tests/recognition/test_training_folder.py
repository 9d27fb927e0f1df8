"""The best checkpoint is that with the highest score, the earliest of equals; nothing else goes on."""

from pathlib import Path

import pytest
import torch

from avrep.errors import ConfigError
from avrep.recognition.training_folder import Begun, TrainingFolder
from avrep.training.checkpoint_writer import CheckpointWriter
from avrep.types import Address, Failure


def make(path: Path, data_digest: str = "d", **decides: object) -> TrainingFolder:
    return TrainingFolder(path=path, decides=decides, data_digest=data_digest)


def save(folder: TrainingFolder, scores: list[float | None]) -> None:
    """A checkpoint after each step, whose weight is the step."""
    model = torch.nn.Linear(1, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    done = Begun()
    failures = [Failure(address=Address(0, 1), key="a.avi", stage="open", reason="none")]
    with CheckpointWriter(folder.store, keep_last=len(scores)) as writer:
        for step, score in enumerate(scores, start=1):
            torch.nn.init.constant_(model.weight, step)
            metrics = {} if score is None else {"score": score}
            done.add(step, failures if step == 2 else ())
            writer.save(folder.state(done, metrics), model, optimizer)


@pytest.mark.parametrize(
    ("scores", "step"), [([0.1, 0.7, None, 0.7, 0.3], 2), ([None, None], 2), ([0.0, 0.0, 0.1], 3)]
)
def test_the_best(tmp_path: Path, scores: list[float | None], step: int) -> None:
    folder = make(tmp_path)
    save(folder, scores)
    checkpoint, state = folder.best("score")
    assert checkpoint.step == state.step == step


def test_it_goes_on_from_the_newest_and_as_nothing_else(tmp_path: Path) -> None:
    model = torch.nn.Linear(1, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    folder = make(tmp_path, seed=0)
    assert folder.resume(model, optimizer) == Begun()
    save(folder, [None, None, None])
    begun = folder.resume(model, optimizer)
    assert begun.step == 3
    (note,) = begun.notes()
    assert note.startswith("1 train videos could not be decoded, a.avi for one; others took their")
    assert model.weight.item() == 3
    with pytest.raises(ConfigError, match=r"another training \(seed: 0 -> 1\); remove it"):
        make(tmp_path, seed=1).resume(model, optimizer)
    with pytest.raises(ConfigError, match="videos: others than before"):
        make(tmp_path, seed=0, data_digest="e").resume(model, optimizer)
