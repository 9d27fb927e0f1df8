"""SUPERB's speaker verification: x-vectors on a frozen encoder, equal error rate of VoxCeleb1's trials."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Literal, Self

import numpy as np
from torch import Tensor

from avrep.evaluation.sound.head import HeadRecipe
from avrep.evaluation.sound.recordings import Recording
from avrep.evaluation.sound.sound_task import SoundData, SoundTask
from avrep.evaluation.superb.held_out_speakers import hold_out_speakers
from avrep.evaluation.superb.sox_effects import gain, trim_silence
from avrep.evaluation.superb.voxceleb1_trials import (
    Trial,
    VerificationExample,
    compared,
    read_voxceleb1_trials,
)
from avrep.evaluation.superb.x_vector import XVectorHead
from avrep.evaluation.task_result import Metric, as_metric
from avrep.evaluation.verification import (
    Bools,
    Floats,
    equal_error_rate,
    error_curve,
    verification_figures,
)
from avrep.media.put_in_place import write_in_place

_NOTES = (
    "silence was trimmed by a restatement of SoX's effect in floating point, not by SoX",
    "training utterances of 2 s or less after that are left out of the loss, batch by batch",
)
_CHOSEN = {
    "held-out": "chosen on trials drawn among training speakers who were kept out of "
    "training; the public toolkit chooses on the test's own trials",
    "test": "CHOSEN ON THE TEST: the best of all looks at the test's own trials, as in the public "
    "toolkit's script; the figure is too good by as much as that choice is worth",
}
_CHANCE = {"eer": 0.5}


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeakerVerification(SoundTask[VerificationExample, Tensor]):
    """`superb/asv`. A prediction is an embedding of length 1."""

    name: ClassVar[str] = "superb/asv"
    recipe: ClassVar[HeadRecipe] = HeadRecipe(
        optimizer="adamw",
        lr=1e-4,
        batch_size=10,
        num_accumulated=5,
        num_steps=200_000,
        eval_every=20_000,
        max_grad_norm=1000.0,
        crop_samples=128_000,
    )

    own_data: bool = False
    """Whether it is another data set in VoxCeleb1's layout: then counts may differ."""
    select_on: Literal["held-out", "test"] = "held-out"
    """Which trials choose the head: of speakers kept out of training, or the test's own, which
    reproduces the public toolkit."""
    frame_samples: int = 320
    """From one of the encoder's frames to the next; tells what is too short to train on."""
    min_samples: int = 32_000
    """Training utterances that are not longer, silence trimmed, do not count."""

    @property
    def chosen(self) -> dict[str, str | int | float | bool]:
        return {"select_on": self.select_on}

    def at_rate(self, frame_samples: int) -> Self:
        return replace(self, frame_samples=frame_samples)

    def read(self, root: Path, part: str) -> SoundData[VerificationExample]:
        del part
        corpus = read_voxceleb1_trials(root, own_data=self.own_data)
        test = compared(corpus.test, corpus.trials)
        train, valid = corpus.train, test
        if self.select_on == "held-out":
            train, held, trials = hold_out_speakers(corpus.train)
            valid = compared(held, trials)
        speakers = sorted({recording.speaker for recording in train})
        number = {speaker: label for label, speaker in enumerate(speakers)}
        return SoundData(
            name=root.name if corpus.notes else "VoxCeleb1",
            other_lists=bool(corpus.notes),
            train=tuple(
                VerificationExample(recording=recording, label=number[recording.speaker])
                for recording in train
            ),
            valid=valid,
            test=test,
            notes=(_CHOSEN[self.select_on], *_NOTES, *corpus.notes),
        )

    def without(
        self, data: SoundData[VerificationExample], gone: Collection[Recording]
    ) -> SoundData[VerificationExample]:
        """Trials go with either of their recordings."""
        keys = {recording.key for recording in gone}
        left = SoundTask.without(self, data, gone)
        valid, test = (
            tuple(
                replace(
                    example,
                    trials=tuple(pair for pair in example.trials if pair[1].second not in keys),
                )
                for example in side
            )
            for side in (left.valid, left.test)
        )
        return replace(left, valid=valid, test=test)

    def prepare(self, wave: Tensor) -> Tensor:
        return trim_silence(gain(wave))

    def build_head(self, width: int, data: SoundData[VerificationExample]) -> XVectorHead:
        num_speakers = 1 + max(example.label for example in data.train)
        # The last window of 25 ms begins before the sound ends.
        return XVectorHead(width, num_speakers, self.min_samples // self.frame_samples - 1)

    def decides_head(self, data: SoundData[VerificationExample]) -> str:
        del data
        return f"over {self.min_samples} samples"

    def selection(
        self, examples: Sequence[VerificationExample], predictions: Sequence[Tensor]
    ) -> float:
        scores, is_target, _ = score_trials(examples, predictions)
        return -equal_error_rate(error_curve(scores, is_target))

    def metrics(
        self, examples: Sequence[VerificationExample], predictions: Sequence[Tensor], *, seed: int
    ) -> tuple[Metric, ...]:
        return verification_metrics(examples, predictions, seed=seed)

    def write_outputs(
        self, folder: Path, data: SoundData[VerificationExample], predictions: Sequence[Tensor]
    ) -> tuple[Path, ...]:
        """`test_predict.txt`: `<utterance>_<utterance> <score>` of each trial."""
        scores, _, _ = score_trials(data.test, predictions)
        trials = trials_of(data.test)
        lines = [
            f"{trial.first}_{trial.second} {score}\n"
            for trial, score in zip(trials, scores.tolist(), strict=True)
        ]
        folder.mkdir(parents=True, exist_ok=True)
        write_in_place("".join(lines), folder / "test_predict.txt")
        return (folder / "test_predict.txt",)


def trials_of(examples: Sequence[VerificationExample]) -> list[Trial]:
    """The trials of some examples in the order of their list."""
    numbered = [pair for example in examples for pair in example.trials]
    return [trial for _, trial in sorted(numbered, key=lambda pair: pair[0])]


def score_trials(
    examples: Sequence[VerificationExample], embeddings: Sequence[Tensor]
) -> tuple[Floats, Bools, list[tuple[str, str]]]:
    """Of each trial in order: the cosine, whether it is a target, and whose recordings it compares.

    Args:
        examples: all that the trials compare.
        embeddings: float32[d] of each, of length 1.
    """
    row = {example.recording.key: number for number, example in enumerate(examples)}
    trials = trials_of(examples)
    pairs = np.array([[row[trial.first], row[trial.second]] for trial in trials])
    vectors = np.stack([embedding.double().numpy() for embedding in embeddings])
    scores = (vectors[pairs[:, 0]] * vectors[pairs[:, 1]]).sum(axis=1)
    is_target = np.array([trial.is_target for trial in trials])
    speakers = [example.recording.speaker for example in examples]
    return scores, is_target, [(speakers[a], speakers[b]) for a, b in pairs.tolist()]


def verification_metrics(
    examples: Sequence[VerificationExample], embeddings: Sequence[Tensor], *, seed: int
) -> tuple[Metric, ...]:
    """EER, and minDCF at 1% and 5% targets, with intervals over speakers.

    Args:
        examples: all that the trials compare.
        embeddings: float32[d] of each, of length 1.
        seed: decides the resamples.
    """
    scores, is_target, speakers = score_trials(examples, embeddings)
    return tuple(
        as_metric(
            name,
            interval,
            len(scores),
            higher_is_better=False,
            in_percent=name == "eer",
            chance=_CHANCE.get(name, 1.0),
        )
        for name, interval in verification_figures(scores, is_target, speakers, seed=seed).items()
    )
