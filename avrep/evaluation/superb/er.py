"""ER, emotion recognition: neutral, happy (with excited), angry or sad, on IEMOCAP in five folds.

SUPERB (arXiv 2105.01051) as its released code has it (downstream/emotion): each session is tested
once, a fifth of the others chosen on, drawn from all their speakers. Which utterances come in which
order is the toolkit's `meta_data` if it is there, and then the fifth is the toolkit's own; else the
data set's evaluation files, in order of their names.
"""

import json
import re
from collections.abc import Sequence
from pathlib import Path

import torch

from avrep.errors import ConfigError
from avrep.evaluation.sound.head import HeadRecipe
from avrep.evaluation.sound.layout import Layout
from avrep.evaluation.sound.recordings import Recording
from avrep.evaluation.sound.sound_task import SoundData
from avrep.evaluation.sound.utterance import Told, Utterance, UtteranceTask, write_lines

EMOTIONS = ("neu", "hap", "ang", "sad")
"""In the order of the toolkit's labels."""
_SAME = {"exc": "hap"}
_SESSIONS = range(1, 6)
_VALID_SHARE = 0.2

_LAYOUT = Layout(
    name="IEMOCAP",
    source="sail.usc.edu/iemocap, the full release",
    tree="""\
Session1/sentences/wav/Ses01F_impro01/Ses01F_impro01_F000.wav     likewise Session2 to Session5
Session1/dialog/EmoEvaluation/Ses01F_impro01.txt
meta_data/Session1/train_meta_data.json, test_meta_data.json      if the toolkit's lists are used""",
)
_OFFICIAL_TEST = (1_085, 1_023, 1_151, 1_031, 1_241)
_TURN = re.compile(r"\[[\d.]+ - [\d.]+\]\t(\w+)\t(\w+)\t")
_SPEAKER = re.compile(r"(Ses\d+)\w*_([FM])\d+$")


class EmotionRecognition(UtteranceTask):
    """SUPERB's ER. Its figure is the mean over the folds."""

    name = "superb/er"
    recipe = HeadRecipe(
        lr=1e-4, batch_size=4, num_accumulated=8, num_steps=30_000, eval_every=1_000
    )

    def parts(self) -> tuple[str, ...]:
        return tuple(f"fold {session}" for session in _SESSIONS)

    def read(self, root: Path, part: str) -> SoundData[Utterance]:
        fold = int(part.removeprefix("fold "))
        listed, test, note = _read_fold(root, fold)
        everything = (*listed, *test)
        _LAYOUT.require(
            root, [each.recording.path.relative_to(root).as_posix() for each in everything]
        )
        num_train = sum(_OFFICIAL_TEST) - _OFFICIAL_TEST[fold - 1]
        notes = _LAYOUT.check_counts(
            root,
            {f"test utterances of {part}": len(test), "others": len(listed)},
            {f"test utterances of {part}": _OFFICIAL_TEST[fold - 1], "others": num_train},
            own_data=self.own_data,
        )
        # The toolkit's draw, number by number: torch's random_split after manual_seed(0).
        order = torch.randperm(len(listed), generator=torch.Generator().manual_seed(0)).tolist()
        kept = int((1 - _VALID_SHARE) * len(listed))
        return SoundData(
            name=_LAYOUT.name if not notes else root.name,
            other_lists=bool(notes),
            train=tuple(listed[index] for index in order[:kept]),
            valid=tuple(listed[index] for index in order[kept:]),
            test=test,
            part=part,
            notes=(*notes, *note),
        )

    def classes(self, data: SoundData[Utterance]) -> tuple[tuple[str, ...], ...]:
        del data
        return (EMOTIONS,)

    def write_outputs(
        self, folder: Path, data: SoundData[Utterance], predictions: Sequence[Told]
    ) -> tuple[Path, ...]:
        """`test_fold1_predict.txt`: lines of `Ses01F_impro01_F000 neu`."""
        pairs = zip(data.test, predictions, strict=True)
        lines = (f"{each.recording.path.stem} {told}" for each, (told,) in pairs)
        return write_lines(folder / f"test_{data.part.replace(' ', '')}_predict.txt", lines)


Utterances = tuple[Utterance, ...]


def _read_fold(root: Path, fold: int) -> tuple[Utterances, Utterances, tuple[str, ...]]:
    """All others' utterances, the session's own, and what to note."""
    if (root / "meta_data").is_dir():
        names = [f"meta_data/Session{fold}/{side}_meta_data.json" for side in ("train", "test")]
        _LAYOUT.require(root, names)
        train, test = (_read_list(root, root / name) for name in names)
        return train, test, ()
    _LAYOUT.require(root, [f"Session{session}/dialog/EmoEvaluation" for session in _SESSIONS])
    sessions = {session: _read_session(root, session) for session in _SESSIONS}
    others = [sessions[session] for session in _SESSIONS if session != fold]
    note = (
        "utterances are in the order of their names, not in that of the public toolkit's lists, so "
        "other ones are in the validation part",
    )
    return tuple(each for session in others for each in session), sessions[fold], note


def _read_list(root: Path, path: Path) -> Utterances:
    """A list of the toolkit."""
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))["meta_data"]
        return tuple(_utterance(root, row["path"], row["label"], row["speaker"]) for row in rows)
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"{path} is no list of utterances: {type(error).__name__}: {error}"
        ) from None


def _read_session(root: Path, session: int) -> Utterances:
    """The four emotions' turns in a session's evaluation files."""
    found = []
    for path in sorted((root / f"Session{session}/dialog/EmoEvaluation").glob("Ses*.txt")):
        for turn, label in _TURN.findall(path.read_text(encoding="utf-8")):
            label = _SAME.get(label, label)
            if label in EMOTIONS:
                wav = f"Session{session}/sentences/wav/{path.stem}/{turn}.wav"
                found.append(_utterance(root, wav, label, path.stem))
    return tuple(sorted(found, key=lambda each: each.recording.key))


def _utterance(root: Path, name: str, label: str, dialogue: str) -> Utterance:
    if label not in EMOTIONS:
        raise ValueError(f"{name} has the label {label!r}, not one of {', '.join(EMOTIONS)}")
    path = root / name
    # A dialogue has two speakers; the toolkit's lists name it by the one who is filmed.
    found = _SPEAKER.match(path.stem)
    speaker = f"{found[1]}_{found[2]}" if found else dialogue
    return Utterance(recording=Recording(key=name, path=path, speaker=speaker), labels=(label,))
