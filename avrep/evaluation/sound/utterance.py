"""Tasks that tell one or more things of a whole utterance: keywords, speakers, intents, emotions.

SUPERB's head for them all (arXiv 2105.01051, section 3; its released code, downstream/model.py):
each frame is projected to 256, an utterance's own frames are averaged, one linear layer follows. No
non-linearity stands between, so the whole is linear but for the mean.
"""

from abc import abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from avrep.evaluation.macro_f1 import Answers
from avrep.evaluation.sound.accuracy import (
    accuracy,
    balanced_accuracy,
    is_right,
    macro_f1_metric,
)
from avrep.evaluation.sound.head import Head
from avrep.evaluation.sound.sound_task import Example, MeasuredPart, SoundData, SoundTask
from avrep.evaluation.task_result import Metric
from avrep.media.put_in_place import write_in_place

_PROJECTED = 256

Told = tuple[str, ...]
"""What is told of an utterance: one label, or one for each slot."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Utterance(Example):
    """A recording with what is to be told of it."""

    labels: Told


class UtteranceHead(Head[Utterance, Told]):
    """Linear to 256, mean over an utterance's own frames, linear to the classes of each slot.

    Args:
        width: d, of the features.
        classes: names of each slot's classes.
    """

    def __init__(self, width: int, classes: Sequence[Sequence[str]]) -> None:
        super().__init__()
        self._classes = tuple(tuple(names) for names in classes)
        self._numbers = [{name: n for n, name in enumerate(names)} for names in self._classes]
        self.project = nn.Linear(width, _PROJECTED)
        self.classify = nn.Linear(_PROJECTED, sum(len(names) for names in self._classes))

    def forward(self, features: Tensor, num_frames: Tensor) -> tuple[Tensor, ...]:
        """float32[b classes] of each slot, of features float32[b n d] and frames int64[b]."""
        own = torch.arange(features.shape[1], device=features.device) < num_frames[:, None]
        # Not a product with 0: past an utterance's own frames may be anything.
        summed = self.project(features).masked_fill(~own[..., None], 0).sum(dim=1)
        scores = self.classify(summed / num_frames[:, None])
        return scores.split([len(names) for names in self._classes], dim=1)

    def loss(self, features: Tensor, num_frames: Tensor, examples: Sequence[Utterance]) -> Tensor:
        """Cross-entropy, summed over slots."""
        slots = self(features, num_frames)
        losses = []
        for slot, (scores, numbers) in enumerate(zip(slots, self._numbers, strict=True)):
            wanted = [numbers[example.labels[slot]] for example in examples]
            losses.append(functional.cross_entropy(scores, torch.tensor(wanted).to(scores.device)))
        return torch.stack(losses).sum()

    def predict(
        self, features: Tensor, num_frames: Tensor, examples: Sequence[Utterance]
    ) -> list[Told]:
        del examples
        slots = self(features, num_frames)
        best = torch.stack([scores.argmax(dim=1) for scores in slots], dim=1).tolist()
        return [
            tuple(names[number] for names, number in zip(self._classes, row, strict=True))
            for row in best
        ]


class UtteranceTask(SoundTask[Utterance, Told]):
    """A task whose metric is the share of utterances of which everything is told right."""

    @abstractmethod
    def classes(self, data: SoundData[Utterance]) -> tuple[tuple[str, ...], ...]:
        """Names of each slot's classes, in the order of the head's outputs."""

    def build_head(self, width: int, data: SoundData[Utterance]) -> UtteranceHead:
        return UtteranceHead(width, self.classes(data))

    def selection(self, examples: Sequence[Utterance], predictions: Sequence[Told]) -> float:
        """Accuracy."""
        return float(np.mean(is_right(answers(examples, predictions))))

    def metrics(
        self, examples: Sequence[Utterance], predictions: Sequence[Told], *, seed: int
    ) -> tuple[Metric, ...]:
        return _accuracies([answers(examples, predictions)], seed)

    def metrics_over_parts(
        self, tested: Sequence[MeasuredPart[Utterance, Told]], *, seed: int
    ) -> tuple[Metric, ...]:
        """Means over folds."""
        return _accuracies([answers(each.data.test, each.predictions) for each in tested], seed)


def answers(examples: Sequence[Utterance], predictions: Sequence[Told]) -> Answers:
    """What was told of each utterance, all of its slots as one."""
    return Answers(
        labels=tuple(" ".join(example.labels) for example in examples),
        predicted=tuple(" ".join(told) for told in predictions),
        clusters=tuple(example.recording.cluster for example in examples),
    )


def label_names(examples: Iterable[Utterance], slot: int = 0) -> tuple[str, ...]:
    """The labels of one slot that occur, in order of the alphabet."""
    return tuple(sorted({example.labels[slot] for example in examples}))


def write_lines(path: Path, lines: Iterable[str]) -> tuple[Path]:
    """Write a small text file whole, and give its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_in_place("".join(f"{line}\n" for line in lines), path)
    return (path,)


def _accuracies(sets: Sequence[Answers], seed: int) -> tuple[Metric, ...]:
    return (
        accuracy(sets, seed=seed),
        balanced_accuracy(sets, seed=seed),
        macro_f1_metric(sets, seed=seed),
    )
