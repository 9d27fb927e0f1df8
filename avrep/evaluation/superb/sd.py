"""SUPERB's diarization: who of two speaks when, on Libri2Mix; diarization error rate without a collar."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from avrep.errors import ConfigError
from avrep.evaluation.action.lists import refuse
from avrep.evaluation.diarization import DiarizationErrors, Turn
from avrep.evaluation.metrics import statistic_intervals
from avrep.evaluation.rttm import write_rttm
from avrep.evaluation.sound.head import HeadRecipe
from avrep.evaluation.sound.layout import Layout
from avrep.evaluation.sound.recordings import RATE_HZ, Recording
from avrep.evaluation.sound.sound_task import SoundData, SoundTask
from avrep.evaluation.superb.diarization_head import (
    DiarizationExample,
    DiarizationHead,
    example_labels,
)
from avrep.evaluation.superb.kaldi_folder import SpokenRecording, read_kaldi_folder
from avrep.evaluation.superb.likelihood_files import (
    ABSENT_NOTE,
    can_write_likelihoods,
    write_likelihoods,
)
from avrep.evaluation.superb.speaker_activity import (
    Binarising,
    Frames,
    binarised_errors,
    choose_binarising,
    speaker_turns,
)
from avrep.evaluation.task_result import Metric, as_metric
from avrep.losses.permutation_bce import permutation_bce
from avrep.media.put_in_place import write_in_place

CHUNK_FRAMES = 2000
_LAYOUT = Layout(
    name="Libri2Mix",
    source="s3prl's fork of LibriMix (max, 16 kHz, train-clean-100)",
    tree="""\
train/wav.scp, segments, utt2spk, spk2utt, reco2dur, rttm      a Kaldi folder
dev/                                                           likewise
test/""",
)

_NUM_SPEAKERS = 2
_OFFICIAL = {"train recordings": 13_900, "dev recordings": 3000, "test recordings": 3000}
_CHOSEN = {
    "held-out": "threshold and median filter chosen on dev; the public toolkit reports the least error "
    "rate of its grid on the test",
    "test": "CHOSEN ON THE TEST: the least test error rate of a grid of thresholds and median "
    "filters, as the public toolkit reports it; the figure is too good by what that choice is worth",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeakerDiarization(SoundTask[DiarizationExample, Tensor]):
    """`superb/sd`. A prediction is the logits of a stretch, float32[n 2]."""

    name: ClassVar[str] = "superb/sd"
    recipe: ClassVar[HeadRecipe] = HeadRecipe(
        lr=1e-4, batch_size=8, num_accumulated=4, num_steps=30_000, eval_every=500
    )

    own_data: bool = False
    """Whether it is another data set in Libri2Mix's layout: then counts may differ."""
    select_on: Literal["held-out", "test"] = "held-out"
    """What chooses the binarising: dev, or the test itself, which reproduces the public toolkit. The
    head is chosen on dev."""
    frame_samples: int = 320
    """From one of the encoder's frames to the next: labels and stretches go by it."""
    binarising: Binarising | None = None
    """How logits become turns; None until it is chosen."""

    @property
    def frame_s(self) -> float:
        return self.frame_samples / RATE_HZ

    @property
    def chosen(self) -> dict[str, str | int | float | bool]:
        return {
            "threshold": self._settled.threshold,
            "median_frames": self._settled.median_frames,
            "select_on": self.select_on,
        }

    @property
    def _settled(self) -> Binarising:
        """The binarising; ConfigError where none is chosen yet."""
        if self.binarising is None:
            raise ConfigError("no binarising is chosen yet. Mend: settled()")
        return self.binarising

    def at_rate(self, frame_samples: int) -> Self:
        return replace(self, frame_samples=frame_samples)

    def read(self, root: Path, part: str) -> SoundData[DiarizationExample]:
        del part
        folders = {name: root / name for name in ("train", "dev", "test")}
        absent = [name for name, folder in folders.items() if not folder.is_dir()]
        if absent:
            raise _LAYOUT.error(root, f"there is no folder {absent[0]}")
        read = {name: read_kaldi_folder(folder) for name, folder in folders.items()}
        counts = {f"{name} recordings": len(found) for name, found in read.items()}
        notes = _LAYOUT.check_counts(root, counts, _OFFICIAL, own_data=self.own_data)
        return SoundData(
            name=root.name if notes else "Libri2Mix",
            other_lists=bool(notes),
            train=self._examples(read["train"]),
            valid=self._examples(read["dev"]),
            test=self._examples(read["test"]),
            notes=(
                _CHOSEN[self.select_on],
                *notes,
                *(() if can_write_likelihoods() else (ABSENT_NOTE,)),
            ),
        )

    def build_head(self, width: int, data: SoundData[DiarizationExample]) -> DiarizationHead:
        del data
        return DiarizationHead(width, self.frame_s, _NUM_SPEAKERS)

    def decides_head(self, data: SoundData[DiarizationExample]) -> str:
        """How recordings are cut, by the encoder's frames."""
        cut = [(each.whole, each.frames) for each in (*data.train, *data.valid)]
        return f"{self.frame_samples} {cut}"

    def selection(
        self, examples: Sequence[DiarizationExample], predictions: Sequence[Tensor]
    ) -> float:
        """The share of right frames, of the speakers' better order, mean over stretches."""
        return float(np.mean([*map(self._accuracy, examples, predictions)]))

    def settled(
        self,
        data: SoundData[DiarizationExample],
        predict: Callable[[Sequence[DiarizationExample]], list[Tensor]],
    ) -> Self:
        """With the binarising that makes the least error rate, of dev or of what `select_on` says."""
        examples = data.test if self.select_on == "test" else data.valid
        return self.binarised_for(examples, predict(examples))

    def binarised_for(
        self, examples: Sequence[DiarizationExample], predictions: Sequence[Tensor]
    ) -> Self:
        """With the binarising that makes the least error rate of these."""
        chosen = choose_binarising(
            likelihoods(examples, predictions), _references(examples), self.frame_s
        )
        return replace(self, binarising=chosen)

    def errors(
        self, examples: Sequence[DiarizationExample], predictions: Sequence[Tensor]
    ) -> dict[str, DiarizationErrors]:
        """Of each recording, under the binarising that was chosen."""
        found = likelihoods(examples, predictions)
        return binarised_errors(found, _references(examples), self._settled, self.frame_s)

    def metrics(
        self, examples: Sequence[DiarizationExample], predictions: Sequence[Tensor], *, seed: int
    ) -> tuple[Metric, ...]:
        found = self.errors(examples, predictions)
        speakers = {example.whole: example.speakers for example in examples}
        return diarization_metrics([*found.values()], [speakers[key] for key in found], seed=seed)

    def write_outputs(
        self, folder: Path, data: SoundData[DiarizationExample], predictions: Sequence[Tensor]
    ) -> tuple[Path, ...]:
        """What the toolkit's score.sh reads, `frame_shift` and with h5py `scoring/predictions`; and the
        turns as RTTM, named as it names them.
        """
        binarising, found = self._settled, likelihoods(data.test, predictions)
        name = f"hyp_{binarising.threshold:g}_{binarising.median_frames}.rttm"
        turns = {
            recording: speaker_turns(frames, binarising, self.frame_s)
            for recording, frames in found.items()
        }
        write_rttm(folder / "scoring" / name, turns)
        write_in_place(f"{self.frame_samples}\n", folder / "frame_shift")
        written = folder / "scoring" / name, folder / "frame_shift"
        if not can_write_likelihoods():
            return written
        return *written, *write_likelihoods(folder / "scoring/predictions", found)

    def _accuracy(self, example: DiarizationExample, logits: Tensor) -> float:
        labels = example_labels(example, self.frame_s, _NUM_SPEAKERS)
        _, fitting = permutation_bce(logits[None], labels[None], torch.tensor([len(logits)]))
        return float(((logits > 0) == (fitting[0] > 0)).float().mean())

    def _examples(self, recordings: Sequence[SpokenRecording]) -> tuple[DiarizationExample, ...]:
        crowded = [each.key for each in recordings if len(each.speakers) > _NUM_SPEAKERS]
        refuse(crowded, f"recordings have more than {_NUM_SPEAKERS} speakers", "leave them out")
        return tuple(
            self._example(recording, range(first, min(first + CHUNK_FRAMES, num_frames)))
            for recording in recordings
            for num_frames in [int(recording.duration_s * RATE_HZ / self.frame_samples)]
            for first in range(0, num_frames, CHUNK_FRAMES)
        )

    def _example(self, recording: SpokenRecording, frames: range) -> DiarizationExample:
        return DiarizationExample(
            recording=Recording(
                key=f"{recording.key}#{frames.start}",
                path=recording.path,
                start_s=frames.start * self.frame_s,
                end_s=frames.stop * self.frame_s,
            ),
            whole=recording.key,
            frames=frames,
            speakers=recording.speakers,
            turns=recording.turns,
            reference=recording.reference,
        )


def likelihoods(
    examples: Sequence[DiarizationExample], predictions: Sequence[Tensor]
) -> dict[str, Frames]:
    """Of each recording, all its stretches behind one another: float32[n 2] in [0, 1]."""
    stretches: dict[str, list[tuple[int, Frames]]] = {}
    for example, logits in zip(examples, predictions, strict=True):
        found = stretches.setdefault(example.whole, [])
        found.append((example.frames.start, logits.sigmoid().numpy()))
    return {
        whole: np.concatenate([frames for _, frames in sorted(found, key=lambda each: each[0])])
        for whole, found in stretches.items()
    }


def diarization_metrics(
    errors: Sequence[DiarizationErrors], speakers: Sequence[Sequence[str]], *, seed: int
) -> tuple[Metric, ...]:
    """DER and its three parts, all over the speech of the reference, with intervals over speakers.

    A resample draws speakers with replacement; a recording counts as often as all its speakers are
    drawn together (the product of their counts), as in `verification_figures`: Libri2Mix's 3000 test
    mixtures are of 40 speakers. Where no two recordings share a speaker, recordings are drawn.

    Args:
        errors: of each recording.
        speakers: the names in each recording, each once; one person has one name in all of them.
        seed: decides the resamples.
    """
    is_in = _drawn_with(speakers)
    parts = np.array([[e.miss_s, e.false_alarm_s, e.confusion_s, e.speech_s] for e in errors])

    def figures(times: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        *wrong, speech_s = np.where(is_in, times, 1).prod(axis=1) @ parts
        return np.array([sum(wrong), *wrong]) / speech_s if speech_s > 0 else np.full(4, np.nan)

    names = "der", "miss", "false_alarm", "confusion"
    found = statistic_intervals(figures, is_in.shape[1], seed=seed)
    return tuple(
        as_metric(name, interval, len(errors), higher_is_better=False)
        for name, interval in zip(names, found, strict=True)
    )


def _drawn_with(speakers: Sequence[Sequence[str]]) -> npt.NDArray[np.bool_]:
    """bool[recordings clusters]: what is drawn, and which recordings it is in."""
    names = sorted({name for own in speakers for name in own})
    if len(names) == sum(map(len, speakers)):
        return np.eye(len(speakers), dtype=np.bool_)
    return np.array([[name in own for name in names] for own in speakers])


def _references(examples: Sequence[DiarizationExample]) -> dict[str, tuple[Turn, ...]]:
    return {example.whole: example.reference for example in examples}
