"""SUPERB's phone recognition: PER on LibriSpeech test-clean.

    <root>/LibriSpeech/{train-clean-100,dev-clean,test-clean}/...
    <root>/librispeech-lexicon-{200k,allothers}-g2p.txt

See `librispeech` and `pronunciations`.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from avrep.evaluation.edits import edit_counts
from avrep.evaluation.ratio_interval import Floats, ratio_metric
from avrep.evaluation.sound.head import BatchPlan, HeadRecipe
from avrep.evaluation.sound.sound_task import SoundData, SoundTask
from avrep.evaluation.superb.ark import write_ark
from avrep.evaluation.superb.ctc_head import LinearCtc, Spelling
from avrep.evaluation.superb.librispeech import Utterance
from avrep.evaluation.superb.pronunciations import phones_of, read_pronunciations
from avrep.evaluation.superb.spoken_examples import (
    TOKEN_PLAN_NOTE,
    SpokenExample,
    keys_of,
    librispeech_data,
    speakers_of,
    token_plan,
)
from avrep.evaluation.superb.vocabulary import PHONES
from avrep.evaluation.task_result import Metric


class PhoneRecognition(SoundTask[SpokenExample, Spelling]):
    """Phones of each utterance, in order, by CTC.

    Args:
        own_data: whether it is a part of LibriSpeech, or other data in its layout; results tell.
    """

    name: ClassVar[str] = "superb/pr"
    recipe: ClassVar[HeadRecipe] = HeadRecipe(
        lr=1e-2, batch_size=16, num_accumulated=2, num_steps=100_000, eval_every=1000
    )

    def __init__(self, *, own_data: bool = False) -> None:
        self.own_data = own_data

    def read(self, root: Path, part: str) -> SoundData[SpokenExample]:
        del part
        pronunciations = read_pronunciations(root)

        def label(utterances: Sequence[Utterance]) -> list[tuple[str, tuple[int, ...]]]:
            found = phones_of([utterance.text for utterance in utterances], pronunciations)
            return [(" ".join(phones), PHONES.target(phones)) for phones in found]

        return librispeech_data(root, label, own_data=self.own_data, notes=(TOKEN_PLAN_NOTE,))

    def build_head(self, width: int, data: SoundData[SpokenExample]) -> LinearCtc:
        del data
        return LinearCtc(width, PHONES)

    def plan(self, data: SoundData[SpokenExample], recipe: HeadRecipe, seed: int) -> BatchPlan:
        return token_plan(data, recipe, seed)

    def selection(
        self, examples: Sequence[SpokenExample], predictions: Sequence[Spelling]
    ) -> float:
        edits, lengths = _counts(examples, predictions)
        return -float(edits.sum() / lengths.sum())

    def metrics(
        self, examples: Sequence[SpokenExample], predictions: Sequence[Spelling], *, seed: int
    ) -> tuple[Metric, ...]:
        counts = _counts(examples, predictions)
        return (ratio_metric("per", *counts, speakers_of(examples), seed=seed),)

    def write_outputs(
        self, folder: Path, data: SoundData[SpokenExample], predictions: Sequence[Spelling]
    ) -> tuple[Path, ...]:
        """`test-hyp.ark` and, of the same form, `test-ref.ark`."""
        keys = keys_of(data.test)
        said = [" ".join(prediction.symbols) for prediction in predictions]
        meant = [example.text for example in data.test]
        return (
            write_ark(folder / "test-hyp.ark", keys, said),
            write_ark(folder / "test-ref.ark", keys, meant),
        )


def _counts(
    examples: Sequence[SpokenExample], predictions: Sequence[Spelling]
) -> tuple[Floats, Floats]:
    return edit_counts(
        [prediction.symbols for prediction in predictions],
        [example.text.split() for example in examples],
    )
