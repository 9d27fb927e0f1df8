"""KS, keyword spotting: ten words, anything else, and silence, on Speech Commands v0.01.

SUPERB (arXiv 2105.01051) as its released code has it (downstream/speech_commands). A part of the
training archive is held out by a hash of the speaker's name, another such part is dropped, and the
test is an archive of its own. Where avrep differs: the public toolkit draws its validation part anew
at each look, classes evenly; here it is heard whole, and the mean over classes is taken.
"""

import hashlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from torch import Tensor

from avrep.evaluation.sound.accuracy import class_weights, is_right
from avrep.evaluation.sound.batch_plan import balanced_plan
from avrep.evaluation.sound.head import BatchPlan, HeadRecipe
from avrep.evaluation.sound.layout import Layout
from avrep.evaluation.sound.recordings import RATE_HZ, Recording
from avrep.evaluation.sound.sound_task import SoundData
from avrep.evaluation.sound.utterance import Told, Utterance, UtteranceTask, answers, write_lines
from avrep.media.local_file import local_item
from avrep.rng import Stage, at
from avrep.types import Address

WORDS = ("yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go")
UNKNOWN, SILENCE = "_unknown_", "_silence_"
CLASSES = (*WORDS, UNKNOWN, SILENCE)

_TRAIN, _TEST, _NOISE = (
    "speech_commands_v0.01",
    "speech_commands_test_set_v0.01",
    "_background_noise_",
)
_LAYOUT = Layout(
    name="Speech Commands v0.01",
    source="download.tensorflow.org/data, two archives, each extracted to a folder of its name",
    tree=f"""\
{_TRAIN}/
    yes/0a7c2a8d_nohash_0.wav      a folder for each of 30 words
    {_NOISE}/running_tap.wav
{_TEST}/
    yes/0a7c2a8d_nohash_0.wav      a folder for each of the 12 classes: the ten words,
    {UNKNOWN}/, {SILENCE}/""",
)
_OFFICIAL = {
    "training words": 51_088,
    "validation words": 6_798,
    "test sounds": 3_081,
    "noises": 6,
}
_SELECTION_NOTE = (
    "chosen on the whole validation part by the mean over classes; the public toolkit draws from it "
    "anew at each look, classes evenly"
)
_HASHED = 2**27 - 1
_GAIN = 10 ** (-3 / 20)
_SILENCE_LANE = 1 << 24


class KeywordSpotting(UtteranceTask):
    """SUPERB's KS."""

    name = "superb/ks"
    recipe = HeadRecipe(
        lr=1e-4,
        batch_size=32,
        num_steps=200_000,
        eval_every=5_000,
        # Words last a second at most: this cuts the noises, which silence is made of.
        crop_samples=RATE_HZ,
    )

    def read(self, root: Path, part: str) -> SoundData[Utterance]:
        del part
        folders = [f"{_TRAIN}/{name}" for name in (*WORDS, _NOISE)]
        _LAYOUT.require(root, [*folders, *(f"{_TEST}/{name}" for name in CLASSES)])
        sides: dict[str, list[Utterance]] = {"train": [], "valid": [], "dropped": []}
        for path in _sounds(root / _TRAIN):
            if path.parent.name != _NOISE:
                sides[side_of(path.name)].append(_word(path))
        noises = [path for path in _sounds(root / _TRAIN) if path.parent.name == _NOISE]
        test = tuple(_word(path) for path in _sounds(root / _TEST))
        counts = (len(sides["train"]), len(sides["valid"]), len(test), len(noises))
        notes = _LAYOUT.check_counts(
            root,
            dict(zip(_OFFICIAL, counts, strict=True)),
            _OFFICIAL,
            own_data=self.own_data,
        )
        return SoundData(
            name=_LAYOUT.name if not notes else root.name,
            other_lists=bool(notes),
            train=(*sides["train"], *(_silence(path) for path in noises)),
            valid=(*sides["valid"], *_cut_silences(noises, _mean_size(sides["valid"]))),
            test=test,
            notes=(*notes, _SELECTION_NOTE),
        )

    def prepare(self, wave: Tensor) -> Tensor:
        """3 dB less, as the toolkit's effects make it."""
        return wave * _GAIN

    def classes(self, data: SoundData[Utterance]) -> tuple[tuple[str, ...], ...]:
        del data
        return (CLASSES,)

    def plan(self, data: SoundData[Utterance], recipe: HeadRecipe, seed: int) -> BatchPlan:
        """Classes evenly, with replacement: silence has only a few long recordings."""
        return balanced_plan([each.labels[0] for each in data.train], recipe.batch_size, seed)

    def selection(self, examples: Sequence[Utterance], predictions: Sequence[Told]) -> float:
        """Mean over classes of their accuracies, as the toolkit's even draws have it on average."""
        found = answers(examples, predictions)
        return float(np.dot(is_right(found), class_weights(found.labels)))

    def write_outputs(
        self, folder: Path, data: SoundData[Utterance], predictions: Sequence[Told]
    ) -> tuple[Path, ...]:
        """`test_predict.txt`: lines of `class folder-file.wav class`."""
        pairs = zip(data.test, predictions, strict=True)
        lines = (f"{each.recording.key.replace('/', '-')} {told}" for each, (told,) in pairs)
        return write_lines(folder / "test_predict.txt", lines)


def side_of(file_name: str) -> Literal["train", "valid", "dropped"]:
    """Where the data set's own rule puts a word: a speaker's words are all on one side.

    The data set's page, as the toolkit computes it: the SHA-1 of what stands before `_nohash_`, cut
    to 27 bits, as a share; below 10 % validation, below 20 % what was its first test set.
    """
    speaker = file_name.partition("_nohash_")[0]
    hashed = int(hashlib.sha1(speaker.encode(), usedforsecurity=False).hexdigest(), 16)
    percent = hashed % (_HASHED + 1) * (100 / _HASHED)
    if percent < 10:
        return "valid"
    return "dropped" if percent < 20 else "train"


def _sounds(folder: Path) -> list[Path]:
    return sorted(folder.glob("*/*.wav"))


def _word(path: Path) -> Utterance:
    name = path.parent.name
    speaker, found, _ = path.name.partition("_nohash_")
    recording = Recording(key=f"{name}/{path.name}", path=path, speaker=speaker if found else "")
    return Utterance(recording=recording, labels=(name if name in CLASSES else UNKNOWN,))


def _silence(path: Path, start_s: float = 0.0, end_s: float | None = None) -> Utterance:
    part = "" if end_s is None else f"@{start_s:.4f}"
    recording = Recording(
        key=f"{_NOISE}/{path.name}{part}", path=path, start_s=start_s, end_s=end_s
    )
    return Utterance(recording=recording, labels=(SILENCE,))


def _mean_size(words: Sequence[Utterance]) -> int:
    """Of the ten words' classes, at least 1."""
    counts = Counter(each.labels[0] for each in words)
    return max(1, round(sum(counts[word] for word in WORDS) / len(WORDS)))


def _cut_silences(noises: Sequence[Path], num: int) -> list[Utterance]:
    """So many seconds of noise, from the files in turn: the same ones whatever is measured."""
    silences = []
    for number in range(num):
        path = noises[number % len(noises)]
        with local_item(path) as (item, _):
            room = max(0, round((item.duration_s - 1) * RATE_HZ))
        draws = at(0, Stage.EVALUATION, Address(0, number), lane=_SILENCE_LANE)
        start_s = int(draws.integers(0, room + 1)) / RATE_HZ
        silences.append(_silence(path, start_s, start_s + 1))
    return silences
