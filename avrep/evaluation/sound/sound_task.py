"""What a task on frozen encoders of sound says of itself; the rest is the same for all."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar, Generic, Self, TypeVar

from torch import Tensor

from avrep.evaluation.sound.batch_plan import shuffled_plan
from avrep.evaluation.sound.head import BatchPlan, Head, HeadRecipe
from avrep.evaluation.sound.recordings import Recording
from avrep.evaluation.task_result import DataFacts, Metric


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A recording of a task; tasks add its labels."""

    recording: Recording

    @property
    def as_given(self) -> str:
        """It as the data set has it: alike for all encoders, and wherever its files lie.

        Examples that are stretches of one recording, cut for an encoder, tell the same.
        """
        recording = replace(self.recording, path=Path(self.recording.path.name))
        return repr(replace(self, recording=recording))


E = TypeVar("E", bound=Example)
P = TypeVar("P")


@dataclass(frozen=True, slots=True, kw_only=True)
class SoundData(Generic[E]):
    """A data set as one task uses it."""

    name: str
    train: tuple[E, ...] = field(repr=False)
    valid: tuple[E, ...] = field(repr=False)
    """What everything is chosen on."""
    test: tuple[E, ...] = field(repr=False)
    part: str = ""
    """Which of several: "fold 2"."""
    other_lists: bool = False
    """Whether these are other data in the official layout, or a part of it."""
    notes: tuple[str, ...] = ()

    @property
    def facts(self) -> DataFacts:
        """Of what the data set has: of recordings, where examples are stretches of them."""
        sides = [
            list(dict.fromkeys(example.as_given for example in side))
            for side in (self.train, self.valid, self.test)
        ]
        digest = hashlib.sha256()
        for side in sides:
            digest.update(f"{len(side)}\n".encode())
            for told in side:
                digest.update(f"{told}\n".encode())
        num_train, num_valid, num_test = map(len, sides)
        return DataFacts(
            name=self.name,
            digest=digest.hexdigest()[:16],
            num_train=num_train,
            num_valid=num_valid,
            num_test=num_test,
            part=self.part,
            other_lists=self.other_lists,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredPart(Generic[E, P]):
    """What a head said of the test examples of one part."""

    data: SoundData[E]
    predictions: tuple[P, ...] = field(repr=False)


class SoundTask(ABC, Generic[E, P]):
    """One task: its data, its head, its recipe, its metrics. `run_sound_task` does the rest."""

    name: ClassVar[str]
    """"superb/ks" """
    protocol: ClassVar[str] = "superb"
    """What is done with the encoder."""
    version: ClassVar[int] = 1
    """Goes up when a mend would change the numbers."""
    recipe: ClassVar[HeadRecipe]
    """As published."""

    def __init__(self, *, own_data: bool = False) -> None:
        self.own_data = own_data
        """Whether it is another data set in the official one's layout: then counts may differ."""

    def at_rate(self, frame_samples: int) -> Self:
        """The task for an encoder with so many samples from frame to frame; most need not know."""
        del frame_samples
        return self

    def parts(self) -> tuple[str, ...]:
        """What is measured one after the other, such as folds; ("",) where there is one."""
        return ("",)

    @abstractmethod
    def read(self, root: Path, part: str) -> SoundData[E]:
        """The data set in its official layout below `root`.

        Raises:
            ConfigError: it is not there, or something of it is missing; the message shows the tree
                that was expected.
        """

    def prepare(self, wave: Tensor) -> Tensor:
        """What the task does to every recording before the encoder hears it; float32[s] to float32[s].

        A task that changes what it does here changes its version.
        """
        return wave

    @property
    def prepared(self) -> str:
        """Says what `prepare` does: the same for tasks whose recordings come out the same."""
        is_plain = type(self).prepare is SoundTask.prepare
        return "as they are" if is_plain else f"{self.name} {self.version}"

    def without(self, data: SoundData[E], gone: Collection[Recording]) -> SoundData[E]:
        """The data set without some recordings, and without what is asked of these."""
        train, valid, test = (
            tuple(example for example in side if example.recording not in gone)
            for side in (data.train, data.valid, data.test)
        )
        return replace(data, train=train, valid=valid, test=test)

    @abstractmethod
    def build_head(self, width: int, data: SoundData[E]) -> Head[E, P]:
        """A fresh head; called where torch's generator is seeded."""

    def decides_head(self, data: SoundData[E]) -> str:
        """What decides a trained head beside name, version, recipe, seed, encoder and the data's digest.

        Of equal words a head is not trained twice. By default nothing; sizes of the head, for one.
        """
        del data
        return ""

    def plan(self, data: SoundData[E], recipe: HeadRecipe, seed: int) -> BatchPlan:
        """Which training examples make which batch; by default each once an epoch, in random order."""
        return shuffled_plan(len(data.train), recipe.batch_size, seed)

    @abstractmethod
    def selection(self, examples: Sequence[E], predictions: Sequence[P]) -> float:
        """What the best head has most of, on the validation part: an accuracy, minus an error rate."""

    def settled(self, data: SoundData[E], predict: Callable[[Sequence[E]], list[P]]) -> Self:
        """The task with whatever else is chosen, once its head is trained and before the test.

        Args:
            data: the part.
            predict: what the trained head says of examples.
        """
        del data, predict
        return self

    @property
    def chosen(self) -> Mapping[str, str | int | float | bool]:
        """What `settled` chose, for the result's settings."""
        return {}

    @abstractmethod
    def metrics(
        self, examples: Sequence[E], predictions: Sequence[P], *, seed: int
    ) -> tuple[Metric, ...]:
        """What is quoted, with intervals; the first leads."""

    def metrics_over_parts(
        self, tested: Sequence["MeasuredPart[E, P]"], *, seed: int
    ) -> tuple[Metric, ...]:
        """What is quoted of all parts at once, such as the mean of five folds; by default nothing."""
        del tested, seed
        return ()

    def write_outputs(
        self, folder: Path, data: SoundData[E], predictions: Sequence[P]
    ) -> tuple[Path, ...]:
        """The files that SUPERB's own tools take, of the test part; none by default."""
        del folder, data, predictions
        return ()
