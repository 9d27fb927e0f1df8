"""A task on a frozen encoder, from the data set's folder to a result."""

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch

from avrep.errors import ConfigError
from avrep.evaluation.action.lists import counted, refuse
from avrep.evaluation.sound.cached_states import CachedStates
from avrep.evaluation.sound.head import HeadRecipe
from avrep.evaluation.sound.head_training import Probe, TrainedProbe, predict, train_probe
from avrep.evaluation.sound.recordings import Recording
from avrep.evaluation.sound.sound_task import Example, MeasuredPart, SoundData, SoundTask
from avrep.evaluation.sound.states import ReadStates, fresh_states
from avrep.evaluation.sound.upstream import Remembered, Upstream
from avrep.evaluation.task_result import DataFacts, Metric, TaskResult
from avrep.models.seeded import seeded

E = TypeVar("E", bound=Example)
P = TypeVar("P")

LR_GRID = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7)
"""The rates that SUPERB allows to be tried."""

Tell = Callable[[str, int, int], None]
"""Called with (what is done, how much of it is done, how much there is)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SoundRun(Generic[E, P]):
    """Everything that a training of one head on one part of a task needs."""

    task: SoundTask[E, P]
    data: SoundData[E]
    upstream: Upstream
    read_states: ReadStates
    seed: int
    folder: Path
    """Of this part of this task with this encoder; each training has a folder of its own in it."""
    tell: Tell | None = None

    def train(self, recipe: HeadRecipe) -> TrainedProbe[E, P]:
        """Train one head; what was trained already is read."""
        return train_probe(
            self._fresh_probe(),
            self.data,
            recipe,
            read_states=self.read_states,
            plan=self.task.plan(self.data, recipe, self.seed),
            select=self.task.selection,
            seed=self.seed,
            folder=self.folder / f"head-lr{recipe.lr:g}-{self._digest(recipe)}",
            progress=self._said(f"training at {recipe.lr:g}"),
        )

    def test(self, trained: TrainedProbe[E, P], recipe: HeadRecipe) -> list[P]:
        """What a trained head says of the test part."""
        return predict(
            trained.probe,
            self.data.test,
            self.read_states,
            recipe.batch_size,
            self._said("testing"),
        )

    def said(
        self, trained: TrainedProbe[E, P], recipe: HeadRecipe, examples: Sequence[E]
    ) -> list[P]:
        """What a trained head says of any examples."""
        return predict(trained.probe, examples, self.read_states, recipe.batch_size)

    @property
    def recordings(self) -> list[Recording]:
        """All that are heard."""
        data = self.data
        return [each.recording for each in (*data.train, *data.valid, *data.test)]

    def fill_states(self, *, allow_missing: bool = False) -> "SoundRun[E, P]":
        """Compute the hidden states that are to be kept on disk, if any are.

        Args:
            allow_missing: leave out recordings that cannot be decoded; a note tells of them.

        Returns:
            The run on what can be heard.

        Raises:
            ConfigError: there are recordings that cannot be decoded, and they are not to be left out;
                or nothing of train, validation or test would be left.
        """
        if not isinstance(self.read_states, CachedStates):
            return self
        heard = self.recordings
        damaged = self.read_states.fill(heard, self._said("computing hidden states"))
        if not damaged:
            return self
        # Of a file that is cut into several recordings it is said once.
        reasons = list(dict.fromkeys(damaged.values()))
        what = f"of {len({each.path for each in heard})} recordings cannot be decoded"
        if not allow_missing:
            mend = "fetch them again, or leave them out by --set allow_missing=true"
            refuse(reasons, what, mend)
        told = counted(reasons, f"{what} and were left out, as allowed")
        data = self.task.without(self.data, damaged)
        if not all((data.train, data.valid, data.test)):
            raise ConfigError(
                f"{self.task.name}: {told}; nothing is left to train, choose or test on"
            )
        return replace(self, data=replace(data, notes=(*data.notes, told)))

    def to_send(self) -> "SoundRun[E, P]":
        """The same for another process: without what it does not need, or cannot take."""
        if not isinstance(self.read_states, CachedStates):
            return replace(self, tell=None)
        return replace(
            self,
            tell=None,
            upstream=Remembered(self.upstream),
            read_states=self.read_states.without_encoder(self.recordings),
        )

    def _digest(self, recipe: HeadRecipe) -> str:
        """Of all that decides a head."""
        task = self.task
        told = (
            recipe.model_dump_json(),
            self.seed,
            (task.name, task.version),
            task.decides_head(self.data),
            self.upstream.facts.digest,
            self.data.facts.digest,
            isinstance(self.read_states, CachedStates),
        )
        return hashlib.sha256(repr(told).encode()).hexdigest()[:8]

    def _fresh_probe(self) -> Probe[E, P]:
        with seeded(self.seed, f"{self.task.name} head"):
            head = self.task.build_head(self.upstream.width, self.data)
        return Probe(self.upstream.num_states, head).to(self.upstream.device)

    def _said(self, what: str) -> Callable[[int, int], None] | None:
        tell = self.tell
        return None if tell is None else lambda done, in_all: tell(what, done, in_all)


OpenStates = Callable[[Upstream, SoundTask[Any, Any], Path], ReadStates]
TrainAll = Callable[[SoundRun[Any, Any], Sequence[HeadRecipe]], None]
"""Trains a head by each recipe, into the run's folder: side by side, for one."""


def run_sound_task(
    task: SoundTask[E, P],
    upstream: Upstream,
    root: Path,
    folder: Path,
    *,
    recipe: HeadRecipe | None = None,
    lrs: Sequence[float] = (),
    seed: int = 0,
    open_states: OpenStates | None = None,
    train_all: TrainAll | None = None,
    allow_missing: bool = False,
    tell: Tell | None = None,
) -> tuple[TaskResult, ...]:
    """Measure an encoder by a task: train the head, choose on the validation part, test once.

    Args:
        task: which.
        upstream: the frozen encoder.
        root: the data set's folder.
        folder: for heads, features and the files that SUPERB's own tools take; a run that was stopped
            goes on in it.
        recipe: the task's own if None.
        lrs: learning rates to choose from on the validation part; the recipe's alone if none.
        seed: of the head's weights and of all draws.
        open_states: how hidden states are had, such as `cached_states`; computed each time if None.
        train_all: how several heads are trained; one after another if None.
        allow_missing: see `SoundRun.fill_states`.
        tell: told how far it is.

    Returns:
        A result for each of the task's parts, and where the task has one, one over all of them, last.

    Raises:
        ConfigError: see `SoundTask.read` and `SoundRun.fill_states`.
        MediaError: a recording cannot be decoded, where states are computed each time.
    """
    task = task.at_rate(upstream.frame_samples)
    recipe = recipe or task.recipe
    read_states = (
        open_states(upstream, task, folder) if open_states else fresh_states(upstream, task.prepare)
    )
    results: list[TaskResult] = []
    tested: list[MeasuredPart[E, P]] = []
    for part in task.parts():
        run: SoundRun[E, P] = SoundRun(
            task=task,
            data=task.read(root, part),
            upstream=upstream,
            read_states=read_states,
            seed=seed,
            folder=folder / part.replace(" ", "-") if part else folder,
            tell=tell,
        ).fill_states(allow_missing=allow_missing)
        result, predictions = _measure(run, recipe, lrs, train_all)
        results.append(result)
        tested.append(MeasuredPart(data=run.data, predictions=tuple(predictions)))
    if len(results) > 1:
        results += _over_parts(results, task.metrics_over_parts(tested, seed=seed))
    return tuple(results)


def measure_part(
    run: SoundRun[E, P],
    recipe: HeadRecipe,
    lrs: Sequence[float] = (),
    train_all: TrainAll | None = None,
) -> TaskResult:
    """One part of a task: a head at each rate, the best one tested. See `run_sound_task`."""
    return _measure(run.fill_states(), recipe, lrs, train_all)[0]


def _measure(
    run: SoundRun[E, P], recipe: HeadRecipe, lrs: Sequence[float], train_all: TrainAll | None
) -> tuple[TaskResult, list[P]]:
    tried = [recipe.model_copy(update={"lr": lr}) for lr in lrs] or [recipe]
    if train_all is not None:
        train_all(run, tried)
    trained = [run.train(each) for each in tried]
    best = max(range(len(tried)), key=lambda number: trained[number].selection)
    run = replace(
        run, task=run.task.settled(run.data, partial(run.said, trained[best], tried[best]))
    )
    predictions = run.test(trained[best], tried[best])
    run.task.write_outputs(run.folder, run.data, predictions)
    return _result(run, tried[best], trained[best], tried, predictions), predictions


def _result(
    run: SoundRun[E, P],
    recipe: HeadRecipe,
    trained: TrainedProbe[E, P],
    tried: Sequence[HeadRecipe],
    predictions: Sequence[P],
) -> TaskResult:
    with torch.no_grad():
        weights = trained.probe.weighted_sum.weights.tolist()
    cached = run.read_states if isinstance(run.read_states, CachedStates) else None
    return TaskResult(
        task=run.task.name,
        protocol=run.task.protocol,
        protocol_version=run.task.version,
        encoder=run.upstream.facts,
        data=run.data.facts,
        metrics=run.task.metrics(run.data.test, predictions, seed=run.seed),
        settings={
            **recipe.model_dump(exclude_none=True),
            "seed": run.seed,
            "lrs_tried": ", ".join(f"{each.lr:g}" for each in tried),
            "chosen_step": trained.step,
            "chosen_selection": trained.selection
            if math.isfinite(trained.selection)
            else "not finite",
            "layer_weights": " ".join(f"{weight:.3f}" for weight in weights),
            "hidden_states": cached.settings if cached else "computed each time",
            **run.task.chosen,
        },
        notes=(*run.data.notes, *(cached.notes if cached else ())),
    )


def _over_parts(parts: Sequence[TaskResult], metrics: tuple[Metric, ...]) -> list[TaskResult]:
    """One result over several parts, or none."""
    if not metrics:
        return []
    digests = " ".join(each.data.digest for each in parts)
    data = DataFacts(
        name=parts[0].data.name,
        digest=hashlib.sha256(digests.encode()).hexdigest()[:16],
        num_train=sum(each.data.num_train for each in parts),
        num_valid=sum(each.data.num_valid for each in parts),
        num_test=sum(each.data.num_test for each in parts),
        other_lists=any(each.data.other_lists for each in parts),
    )
    settings = {
        name: value
        for name, value in parts[0].settings.items()
        if all(each.settings.get(name) == value for each in parts)
    }
    notes = dict.fromkeys(note for each in parts for note in each.notes)
    update = {"data": data, "metrics": metrics, "settings": settings, "notes": tuple(notes)}
    return [parts[0].model_copy(update=update)]
