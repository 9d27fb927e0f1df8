"""A plain folder of classes of sound, told by SUPERB's probe of utterances.

ROOT/{train,valid,test}/CLASS/*.wav      `valid` may be missing
ROOT/CLASS/*.wav                         then a fifth of each class is held out to choose on,
                                         and a quarter before that to test
"""

from pathlib import Path

from avrep.evaluation.sound.esc50 import PROBE_RECIPE, held_out
from avrep.evaluation.sound.layout import Layout
from avrep.evaluation.sound.recordings import Recording
from avrep.evaluation.sound.sound_task import SoundData
from avrep.evaluation.sound.utterance import Utterance, UtteranceTask, label_names
from avrep.media.sources import MEDIA_SUFFIXES

_TEST_SHARE = 0.25
_LAYOUT = Layout(
    name="a folder of classes",
    source="your own recordings",
    tree="""\
train/dog/1.wav      a folder for each class, at least two, in train and in test;
valid/dog/2.wav      if there is no valid, a fifth of train is held out to choose on
test/dog/3.wav
or
dog/1.wav            and a quarter of each class is held out to test""",
)


class SoundFolder(UtteranceTask):
    """Any sounds, a folder for each class."""

    name = "sound_folder"
    protocol = "superb probe"
    recipe = PROBE_RECIPE

    def read(self, root: Path, part: str) -> SoundData[Utterance]:
        del part
        if not root.is_dir():
            raise _LAYOUT.error(root, "there is no such folder")
        notes: tuple[str, ...] = ()
        if (root / "train").is_dir() and (root / "test").is_dir():
            train, test = _sounds(root, root / "train"), _sounds(root, root / "test")
            valid = _sounds(root, root / "valid")
        else:
            rest, test = (list(side) for side in held_out(_sounds(root, root), _TEST_SHARE))
            train, valid = rest, []
            notes = (f"the test part is a draw: {_TEST_SHARE:.0%} of each class",)
        if not valid:
            train, valid = (list(side) for side in held_out(train))
        if len(label_names(train)) < 2 or not test or not valid:
            counts = f"{len(train)} sounds to train, {len(valid)} to choose on, {len(test)} to test"
            fault = f"{counts}, of {len(label_names(train))} classes"
            raise _LAYOUT.error(root, fault)
        strange = set(label_names([*valid, *test])) - set(label_names(train))
        if strange:
            raise _LAYOUT.error(root, f"class {min(strange)!r} has no sounds to train")
        return SoundData(
            name=root.resolve().name,
            train=tuple(train),
            valid=tuple(valid),
            test=tuple(test),
            notes=notes,
        )

    def classes(self, data: SoundData[Utterance]) -> tuple[tuple[str, ...], ...]:
        return (label_names(data.train),)


def _sounds(root: Path, folder: Path) -> list[Utterance]:
    """Of each class's folder, in order of their names; none where there is no folder."""
    return [
        Utterance(
            recording=Recording(key=path.relative_to(root).as_posix(), path=path),
            labels=(path.relative_to(folder).parts[0],),
        )
        for path in sorted(folder.glob("*/**/*"))
        if path.is_file() and path.suffix.lower() in MEDIA_SUFFIXES
    ]
