"""Training a head on frozen features: by a recipe, chosen on held-out examples, going on after a stop.

FOLDER/
    head.safetensors     the head and its optimizer after the last look at the validation part, the best
                         head so far, and in its header the step and the best score
"""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from avrep import rng
from avrep.errors import ConfigError
from avrep.evaluation.sound.head import BatchPlan, Head, HeadRecipe
from avrep.evaluation.sound.sound_task import Example, SoundData
from avrep.evaluation.sound.states import Crop, ReadStates
from avrep.evaluation.sound.weighted_sum import WeightedSum
from avrep.media.put_in_place import put_in_place
from avrep.types import Address

E = TypeVar("E", bound=Example)
P = TypeVar("P")

Progress = Callable[[int, int], None]
"""Called with (updates done, updates in all)."""

_FILE = "head.safetensors"
_CROP_LANE = 1 << 21
_DROPOUT_LANE = 1 << 22


class Probe(nn.Module, Generic[E, P]):
    """The weights over hidden states and the head behind them: all that is trained.

    Args:
        num_states: of the encoder.
        head: on the device to train on.
    """

    def __init__(self, num_states: int, head: Head[E, P]) -> None:
        super().__init__()
        self.weighted_sum = WeightedSum(num_states)
        self.head = head


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedProbe(Generic[E, P]):
    """The best of a training."""

    probe: Probe[E, P]
    selection: float
    """On the validation part; `SoundTask.selection`."""
    step: int
    """After how many updates."""


def train_probe(
    probe: Probe[E, P],
    data: SoundData[E],
    recipe: HeadRecipe,
    *,
    read_states: ReadStates,
    plan: BatchPlan,
    select: Callable[[Sequence[E], Sequence[P]], float],
    seed: int,
    folder: Path,
    progress: Progress | None = None,
) -> TrainedProbe[E, P]:
    """Train, look at the validation part every `eval_every` updates and at the end, keep the best.

    A training that was stopped goes on from its last look and comes to the same numbers as one that
    was not: batches, crops and dropout are functions of (seed, batch).

    Args:
        probe: fresh, on the device.
        data: its train and validation parts are used.
        recipe: how.
        read_states: the frozen encoder.
        plan: which examples make a batch.
        select: what the best has most of.
        seed: decides crops and dropout.
        folder: for `head.safetensors`; of this training alone.
        progress: told how far it is.

    Raises:
        ConfigError: the folder holds another training's head.
    """
    make = torch.optim.Adam if recipe.optimizer == "adam" else torch.optim.AdamW
    optimizer = make(probe.parameters(), lr=recipe.lr)
    place = _Place(folder / _FILE, recipe, probe, optimizer)
    place.go_on()
    while place.step < recipe.num_steps:
        last = min(recipe.num_steps, (place.step // recipe.eval_every + 1) * recipe.eval_every)
        for step in range(place.step, last):
            _take_step(probe, optimizer, data, recipe, read_states, plan, seed, step)
            if progress:
                progress(step + 1, recipe.num_steps)
        found = predict(probe, data.valid, read_states, recipe.batch_size)
        place.write(last, select(data.valid, found))
    return place.best_probe()


@torch.no_grad()
def predict(
    probe: Probe[E, P],
    examples: Sequence[E],
    read_states: ReadStates,
    batch_size: int,
    progress: Progress | None = None,
) -> list[P]:
    """One prediction an example, of whole recordings.

    Args:
        probe: it is left in the mode that it was in.
        examples: any number.
        read_states: the frozen encoder.
        batch_size: examples at a time; nothing depends on it.
        progress: told (examples done, examples in all).
    """
    was_training = probe.training
    probe.eval()
    predictions: list[P] = []
    for first in range(0, len(examples), batch_size):
        batch = examples[first : first + batch_size]
        states = read_states([example.recording for example in batch])
        features = probe.weighted_sum(states.states)
        predictions += probe.head.predict(features, states.num_frames, batch)
        if progress:
            progress(len(predictions), len(examples))
    probe.train(was_training)
    return predictions


def _take_step(
    probe: Probe[E, P],
    optimizer: torch.optim.Optimizer,
    data: SoundData[E],
    recipe: HeadRecipe,
    read_states: ReadStates,
    plan: BatchPlan,
    seed: int,
    step: int,
) -> None:
    """One update, of as many batches as the recipe accumulates."""
    probe.train()
    optimizer.zero_grad(set_to_none=True)
    for number in range(step * recipe.num_accumulated, (step + 1) * recipe.num_accumulated):
        batch = [data.train[index] for index in plan(number)]
        crop = _crop(recipe.crop_samples, len(batch), seed, number)
        states = read_states([example.recording for example in batch], crop)
        devices = [states.states.device] if states.states.is_cuda else []
        with torch.random.fork_rng(devices=devices):
            torch.manual_seed(_seed(seed, number))
            features = probe.weighted_sum(states.states)
            loss = probe.head.loss(features, states.num_frames, batch)
        (loss / recipe.num_accumulated).backward()
    norm = nn.utils.clip_grad_norm_(probe.parameters(), recipe.max_grad_norm)
    if bool(norm.isfinite()):
        optimizer.step()


def _crop(num_samples: int | None, num_recordings: int, seed: int, number: int) -> Crop | None:
    if num_samples is None:
        return None
    draws = rng.at(seed, rng.Stage.EVALUATION, Address(0, number), lane=_CROP_LANE)
    return Crop(num_samples=num_samples, places=tuple(draws.random(num_recordings).tolist()))


def _seed(seed: int, number: int) -> int:
    draws = rng.at(seed, rng.Stage.EVALUATION, Address(0, number), lane=_DROPOUT_LANE)
    return int(draws.integers(0, 2**63))


class _Place(Generic[E, P]):
    """Where a training is, in memory and in its file."""

    def __init__(
        self,
        path: Path,
        recipe: HeadRecipe,
        probe: Probe[E, P],
        optimizer: torch.optim.Optimizer,
    ) -> None:
        self.step = 0
        self._path = path
        self._recipe = recipe.model_dump_json()
        self._probe = probe
        self._optimizer = optimizer
        self._best: dict[str, Tensor] = {}
        self._best_selection = -math.inf
        self._best_step = 0

    def go_on(self) -> None:
        """Read what an earlier training left, if it left anything."""
        if not self._path.is_file():
            return
        with safe_open(self._path, "pt") as file:
            facts = json.loads((file.metadata() or {}).get("facts", "{}"))
            if facts.get("recipe") != self._recipe:
                raise ConfigError(f"{self._path} is of another recipe; name a new folder")
            tensors = {name: file.get_tensor(name) for name in list(file.keys())}
        self.step, self._best_step = facts["step"], facts["best_step"]
        self._best_selection = facts["best_selection"]
        self._best = _under(tensors, "best.")
        self._probe.load_state_dict(_under(tensors, "probe."))
        state = self._optimizer.state_dict()
        state["state"] = {}
        for name, tensor in _under(tensors, "optimizer.").items():
            number, key = name.split(".", 1)
            state["state"].setdefault(int(number), {})[key] = tensor
        self._optimizer.load_state_dict(state)

    def write(self, step: int, selection: float) -> None:
        """A look at the validation part after so many updates."""
        self.step = step
        # A head that is no good at all may select by not a number: it is never better than another.
        selection = -math.inf if math.isnan(selection) else selection
        if selection > self._best_selection or not self._best:
            self._best = {name: t.detach().clone() for name, t in self._probe.state_dict().items()}
            self._best_selection, self._best_step = selection, step
        tensors = {f"best.{name}": tensor for name, tensor in self._best.items()}
        tensors |= {f"probe.{name}": tensor for name, tensor in self._probe.state_dict().items()}
        for number, state in self._optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{number}.{key}": value for key, value in state.items()}
        facts = {
            "recipe": self._recipe,
            "step": step,
            "best_step": self._best_step,
            "best_selection": self._best_selection,
        }
        self._path.parent.mkdir(parents=True, exist_ok=True)
        partial = self._path.with_name(self._path.name + ".partial")
        made = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
        save_file(made, partial, {"facts": json.dumps(facts)})
        put_in_place(partial, self._path)

    def best_probe(self) -> TrainedProbe[E, P]:
        """The probe with the best weights in it."""
        self._probe.load_state_dict(self._best)
        return TrainedProbe(probe=self._probe, selection=self._best_selection, step=self._best_step)


def _under(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in tensors.items()
        if name.startswith(prefix)
    }
