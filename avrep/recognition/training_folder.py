"""Checkpoints of a training on labels: one folder, one training, and nothing else goes on from it."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from avrep.config import differences
from avrep.environment import package_versions
from avrep.errors import ConfigError
from avrep.training.checkpoint import RunState, load_checkpoint, read_state
from avrep.training.checkpoint_store import Checkpoint, CheckpointStore
from avrep.types import Failure

_FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingFolder:
    """Where a training's checkpoints lie, and what it is."""

    path: Path
    decides: Mapping[str, Any]
    """Whatever decides what is computed, as JSON has it: recipe, seed, first weights, classes."""
    data_digest: str
    """Of the videos that are read."""

    @property
    def store(self) -> CheckpointStore:
        return CheckpointStore(str(self.path.resolve() / "checkpoints"))

    def resume(self, module: nn.Module, optimizer: torch.optim.Optimizer) -> "Begun":
        """Put the newest checkpoint into place, if there is one.

        Returns:
            What is done.

        Raises:
            ConfigError: the folder's checkpoints are of another training, or damaged.
        """
        self.store.remove_torn()
        found = self.store.checkpoints()
        if not found:
            return Begun()
        state = read_state(found[-1])
        changed = differences(state.config, dict(self.decides))
        if state.data_digest != self.data_digest:
            changed["videos"] = "others than before"
        if changed:
            listed = ", ".join(f"{path}: {change}" for path, change in list(changed.items())[:3])
            raise ConfigError(
                f"{self.path} holds another training ({listed}); remove it, or choose another folder"
            )
        load_checkpoint(found[-1], module, optimizer)
        return Begun(step=state.step, failed=Counter(state.counts.get(_FAILED, {})))

    def state(self, done: "Begun", metrics: Mapping[str, float] | None = None) -> RunState:
        """What a checkpoint says about itself."""
        return RunState(
            step=done.step,
            config=dict(self.decides),
            versions=package_versions(),
            data_digest=self.data_digest,
            metrics=dict(metrics or {}),
            counts={_FAILED: dict(done.failed)},
        )

    def best(self, metric: str) -> tuple[Checkpoint, RunState]:
        """The checkpoint with the greatest value of a metric, of equals the earliest; where none has
        it, the newest.
        """
        found = [(each, read_state(each)) for each in self.store.checkpoints()]
        measured = [(each, state) for each, state in found if metric in state.metrics]
        if not measured:
            return found[-1]
        return max(measured, key=lambda pair: (pair[1].metrics[metric], -pair[0].step))


@dataclass(slots=True)
class Begun:
    """How far a training is."""

    step: int = 0
    """Steps done."""
    failed: Counter[str] = field(default_factory=Counter)
    """How often each video could not be decoded, by key."""

    def add(self, step: int, failures: Iterable[Failure]) -> None:
        """Steps are done, and what failed since is told of."""
        self.step = step
        self.failed.update(failure.key for failure in failures)

    def notes(self) -> tuple[str, ...]:
        """What a result must tell of it."""
        if not self.failed:
            return ()
        return (
            f"{len(self.failed)} train videos could not be decoded, {min(self.failed)} for one; "
            "others took their places, but not where they were held out",
        )
