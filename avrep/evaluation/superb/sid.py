"""SID, speaker identification: which of VoxCeleb1's 1251 speakers says an utterance.

SUPERB (arXiv 2105.01051) as its released code has it (downstream/voxceleb1), on VoxCeleb1's own
identification split. Training hears 8 s of each utterance, from a place drawn anew; what is measured
is whole utterances.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from avrep.evaluation.action.lists import read_lines
from avrep.evaluation.sound.head import HeadRecipe
from avrep.evaluation.sound.layout import Layout
from avrep.evaluation.sound.recordings import Recording
from avrep.evaluation.sound.sound_task import SoundData
from avrep.evaluation.sound.utterance import (
    Told,
    Utterance,
    UtteranceTask,
    label_names,
    write_lines,
)

_LISTS = ("veri_test_class.txt", "iden_split.txt")
_LAYOUT = Layout(
    name="VoxCeleb1",
    source="www.robots.ox.ac.uk/~vgg/data/voxceleb (the split is its iden_split.txt)",
    tree="""\
veri_test_class.txt                       or iden_split.txt, the same list: lines of
                                          `1|2|3 id10001/1zcIwhmdeo4/00001.wav`
dev/wav/id10001/1zcIwhmdeo4/00001.wav     the dev archive's
test/wav/id10270/5r0dWxy17C8/00001.wav    the test archive's""",
)
_OFFICIAL = {
    "training utterances": 138_361,
    "validation utterances": 6_904,
    "test utterances": 8_251,
    "speakers": 1_251,
}
_SIDES = {"1": 0, "2": 1, "3": 2}
_LINE = re.compile(r"([123])\s+([^/\s]+/[^/\s]+/[^/\s]+)")


class SpeakerIdentification(UtteranceTask):
    """SUPERB's SID."""

    name = "superb/sid"
    recipe = HeadRecipe(
        lr=1e-4,
        batch_size=8,
        num_accumulated=4,
        num_steps=200_000,
        eval_every=4_000,
        crop_samples=128_000,
    )

    def read(self, root: Path, part: str) -> SoundData[Utterance]:
        del part
        listed = next((root / name for name in _LISTS if (root / name).is_file()), None)
        if listed is None:
            raise _LAYOUT.error(root, f"1 missing: {_LISTS[0]}")
        folders = sorted(folder for folder in root.glob("*/wav") if folder.is_dir())
        sides: tuple[list[Utterance], ...] = ([], [], [])
        missing = []
        for side, name in _listed(root, listed):
            paths = (folder / name for folder in folders)
            path = next((path for path in paths if path.is_file()), None)
            if path is None:
                missing.append(name)
            else:
                sides[side].append(_utterance(name, path))
        _LAYOUT.require(root, (f"*/wav/{name}" for name in missing))
        train, valid, test = sides
        counts = (len(train), len(valid), len(test), len(label_names(train)))
        notes = _LAYOUT.check_counts(
            root,
            dict(zip(_OFFICIAL, counts, strict=True)),
            _OFFICIAL,
            own_data=self.own_data,
        )
        strangers = set(label_names([*valid, *test])) - set(label_names(train))
        if strangers:
            fault = f"{len(strangers)} speakers have no training utterances: {min(strangers)}"
            raise _LAYOUT.error(root, fault)
        return SoundData(
            name=_LAYOUT.name if not notes else root.name,
            other_lists=bool(notes),
            train=tuple(train),
            valid=tuple(valid),
            test=tuple(test),
            notes=notes,
        )

    def classes(self, data: SoundData[Utterance]) -> tuple[tuple[str, ...], ...]:
        """In order of their numbers, as the toolkit's: its label is the number less 10001."""
        return (label_names(data.train),)

    def write_outputs(
        self, folder: Path, data: SoundData[Utterance], predictions: Sequence[Told]
    ) -> tuple[Path, ...]:
        """`test_predict.txt`: lines of `id10001-1zcIwhmdeo4-00001 id10001`."""
        pairs = zip(data.test, predictions, strict=True)
        lines = (f"{each.recording.key} {told}" for each, (told,) in pairs)
        return write_lines(folder / "test_predict.txt", lines)


def _listed(root: Path, path: Path) -> Iterator[tuple[int, str]]:
    """Side (0 train, 1 validation, 2 test) and path of each line."""
    for where, line in read_lines(path):
        found = _LINE.fullmatch(line)
        if found is None:
            raise _LAYOUT.error(root, f"{where} is {line!r}")
        yield _SIDES[found[1]], found[2]


def _utterance(name: str, path: Path) -> Utterance:
    speaker = name.partition("/")[0]
    key = name.replace("/", "-").rpartition(".")[0]
    return Utterance(recording=Recording(key=key, path=path, speaker=speaker), labels=(speaker,))
