"""IC, intent classification: action, object and location of a spoken command.

SUPERB (arXiv 2105.01051) as its released code has it (downstream/fluent_commands), on Fluent Speech
Commands with its own split by speakers. An utterance counts as right if all three are.
"""

from collections.abc import Sequence
from pathlib import Path

from avrep.evaluation.sound.head import HeadRecipe
from avrep.evaluation.sound.layout import Layout, read_table
from avrep.evaluation.sound.recordings import Recording
from avrep.evaluation.sound.sound_task import SoundData
from avrep.evaluation.sound.utterance import Told, Utterance, UtteranceTask, write_lines

SLOTS = ("action", "object", "location")
_SIDES = ("train", "valid", "test")
_LAYOUT = Layout(
    name="Fluent Speech Commands",
    source="fluent.ai (fluent_speech_commands_dataset)",
    tree="""\
data/train_data.csv, valid_data.csv, test_data.csv     with columns path, speakerId, action, object,
                                                       location
wavs/speakers/2BqVo8kVB2Skwgyb/0a3129c0-....wav        as the column path says""",
)
_OFFICIAL = {
    "training utterances": 23_132,
    "validation utterances": 3_118,
    "test utterances": 3_793,
}


class IntentClassification(UtteranceTask):
    """SUPERB's IC."""

    name = "superb/ic"
    recipe = HeadRecipe(lr=1e-4, batch_size=32, num_steps=200_000, eval_every=5_000)

    def read(self, root: Path, part: str) -> SoundData[Utterance]:
        del part
        tables = [f"data/{side}_data.csv" for side in _SIDES]
        _LAYOUT.require(root, tables)
        train, valid, test = (_read_side(root, root / table) for table in tables)
        everything = (*train, *valid, *test)
        _LAYOUT.require(
            root, [each.recording.path.relative_to(root).as_posix() for each in everything]
        )
        counts = (len(train), len(valid), len(test))
        notes = _LAYOUT.check_counts(
            root,
            dict(zip(_OFFICIAL, counts, strict=True)),
            _OFFICIAL,
            own_data=self.own_data,
        )
        for slot, name in enumerate(SLOTS):
            strange = {each.labels[slot] for each in everything} - {
                each.labels[slot] for each in train
            }
            if strange:
                raise _LAYOUT.error(root, f"{name} {min(strange)!r} is never trained")
        return SoundData(
            name=_LAYOUT.name if not notes else root.name,
            other_lists=bool(notes),
            train=train,
            valid=valid,
            test=test,
            notes=notes,
        )

    def classes(self, data: SoundData[Utterance]) -> tuple[tuple[str, ...], ...]:
        """Each slot's values in the order in which training has them, as in the toolkit."""
        return tuple(
            tuple(dict.fromkeys(each.labels[slot] for each in data.train))
            for slot in range(len(SLOTS))
        )

    def write_outputs(
        self, folder: Path, data: SoundData[Utterance], predictions: Sequence[Told]
    ) -> tuple[Path, ...]:
        """`test_predict.csv`: lines of `file,action,object,location`, without a header."""
        pairs = zip(data.test, predictions, strict=True)
        lines = (",".join((each.recording.path.stem, *told)) for each, told in pairs)
        return write_lines(folder / "test_predict.csv", lines)


def _read_side(root: Path, table: Path) -> tuple[Utterance, ...]:
    return tuple(
        Utterance(
            recording=Recording(key=row["path"], path=root / row["path"], speaker=row["speakerId"]),
            labels=tuple(row[slot] for slot in SLOTS),
        )
        for row in read_table(table, ("path", "speakerId", *SLOTS))
    )
