"""ESC-50: fifty kinds of environmental sound in five folds, told by SUPERB's probe of utterances.

Piczak, "ESC: Dataset for Environmental Sound Classification" (ACM MM 2015). Each fold is tested once
and the figure is the mean. All clips of one source recording are in one fold; a fifth of the source
recordings of the other four folds is held out to choose on. The recipe is avrep's own: those published
fine-tune, or choose on the test fold.
"""

from pathlib import Path

from avrep.evaluation.draws import Draw, generator
from avrep.evaluation.holdout import hold_out
from avrep.evaluation.sound.head import HeadRecipe
from avrep.evaluation.sound.layout import Layout, read_table
from avrep.evaluation.sound.recordings import Recording
from avrep.evaluation.sound.sound_task import SoundData
from avrep.evaluation.sound.utterance import Utterance, UtteranceTask, label_names

PROBE_RECIPE = HeadRecipe(lr=1e-3, batch_size=32, num_steps=5_000, eval_every=250)
_FOLDS = range(1, 6)
_VALID_SHARE = 0.2
_LAYOUT = Layout(
    name="ESC-50",
    source="github.com/karolpiczak/ESC-50",
    tree="""\
meta/esc50.csv               with columns filename, fold, category, src_file
audio/1-100032-A-0.wav""",
)


class Esc50(UtteranceTask):
    """ESC-50, five folds."""

    name = "esc50"
    protocol = "superb probe"
    recipe = PROBE_RECIPE

    def parts(self) -> tuple[str, ...]:
        return tuple(f"fold {fold}" for fold in _FOLDS)

    def read(self, root: Path, part: str) -> SoundData[Utterance]:
        _LAYOUT.require(root, ["meta/esc50.csv"])
        rows = read_table(root / "meta/esc50.csv", ("filename", "fold", "category", "src_file"))
        _LAYOUT.require(root, [f"audio/{row['filename']}" for row in rows])
        fold = part.removeprefix("fold ")
        clips = [_clip(root, row) for row in rows]
        is_test = [row["fold"] == fold for row in rows]
        others = [clip for clip, is_in in zip(clips, is_test, strict=True) if not is_in]
        test = tuple(clip for clip, is_in in zip(clips, is_test, strict=True) if is_in)
        notes = _LAYOUT.check_counts(
            root,
            {f"clips of {part}": len(test), "others": len(others)},
            {f"clips of {part}": 400, "others": 1_600},
            own_data=self.own_data,
        )
        train, valid = held_out(others)
        return SoundData(
            name=_LAYOUT.name if not notes else root.name,
            other_lists=bool(notes),
            train=train,
            valid=valid,
            test=test,
            part=part,
            notes=notes,
        )

    def classes(self, data: SoundData[Utterance]) -> tuple[tuple[str, ...], ...]:
        return (label_names((*data.train, *data.valid, *data.test)),)


def held_out(
    clips: list[Utterance], share: float = _VALID_SHARE
) -> tuple[tuple[Utterance, ...], tuple[Utterance, ...]]:
    """The clips, less a share of each class, and that share: the same ones whatever is measured.

    Args:
        clips: those of one `Recording.speaker`, a source recording for one, stay together.
        share: in (0, 1).
    """
    labels = [clip.labels[0] for clip in clips]
    groups = [clip.recording.speaker or None for clip in clips]
    held = hold_out(labels, groups, share, generator(0, Draw.HOLD_OUT))
    pairs = list(zip(clips, held, strict=True))
    return tuple(c for c, out in pairs if not out), tuple(c for c, out in pairs if out)


def _clip(root: Path, row: dict[str, str]) -> Utterance:
    recording = Recording(
        key=row["filename"], path=root / "audio" / row["filename"], speaker=row["src_file"]
    )
    return Utterance(recording=recording, labels=(row["category"],))
