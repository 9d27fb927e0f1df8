"""SUPERB's slot filling: slot type F1 and slot value CER on Audio SNIPS.

    <root>/SNIPS/{all.iob.snips.txt,slots.txt,train/...,valid/...,test/...}

See `audio_snips`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from avrep.evaluation.action.lists import refuse
from avrep.evaluation.ratio_interval import ratio_metric
from avrep.evaluation.sound.head import BatchPlan, HeadRecipe
from avrep.evaluation.sound.sound_task import SoundData, SoundTask
from avrep.evaluation.superb.ark import write_ark
from avrep.evaluation.superb.audio_snips import (
    NAME,
    SPEAKERS,
    other_data_notes,
    read_audio_snips,
    read_slots,
)
from avrep.evaluation.superb.ctc_head import RecurrentCtc, RecurrentHeadConfig, Spelling
from avrep.evaluation.superb.slot_metrics import slot_type_f1, slot_value_counts
from avrep.evaluation.superb.slot_text import slot_symbols, slot_text
from avrep.evaluation.superb.spoken_examples import (
    TOKEN_PLAN_NOTE,
    SpokenExample,
    keys_of,
    speakers_of,
    spoken,
    token_plan,
)
from avrep.evaluation.superb.vocabulary import Vocabulary, slot_vocabulary
from avrep.evaluation.task_result import Metric


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotData(SoundData[SpokenExample]):
    """Audio SNIPS and what its slots are called."""

    slots: tuple[str, ...]


class SlotFilling(SoundTask[SpokenExample, Spelling]):
    """Characters and marks of slots by CTC.

    Args:
        head: other sizes than the published ones, which results tell.
        own_data: whether it is a part of Audio SNIPS, or other data in its layout; results tell.
    """

    name: ClassVar[str] = "superb/sf"
    recipe: ClassVar[HeadRecipe] = HeadRecipe(
        lr=1e-4, batch_size=32, num_steps=200_000, eval_every=2000
    )

    def __init__(self, *, head: RecurrentHeadConfig | None = None, own_data: bool = False) -> None:
        self.head = head or RecurrentHeadConfig()
        self.own_data = own_data

    def read(self, root: Path, part: str) -> SlotData:
        del part
        slots = read_slots(root)
        vocabulary = slot_vocabulary(slots)
        sides = [_examples(root, side, vocabulary, own_data=self.own_data) for side in SPEAKERS]
        others = other_data_notes(root, dict(zip(SPEAKERS, map(len, sides), strict=True)))
        train, valid, test = sides
        return SlotData(
            name=root.name if others else NAME,
            other_lists=bool(others),
            train=train,
            valid=valid,
            test=test,
            notes=(TOKEN_PLAN_NOTE, *self.head.notes(), *others),
            slots=slots,
        )

    def build_head(self, width: int, data: SoundData[SpokenExample]) -> RecurrentCtc:
        assert isinstance(data, SlotData)
        return RecurrentCtc(width, slot_vocabulary(data.slots), self.head)

    def decides_head(self, data: SoundData[SpokenExample]) -> str:
        assert isinstance(data, SlotData)
        return f"{self.head.model_dump_json()} {data.slots}"

    def plan(self, data: SoundData[SpokenExample], recipe: HeadRecipe, seed: int) -> BatchPlan:
        return token_plan(data, recipe, seed)

    def selection(
        self, examples: Sequence[SpokenExample], predictions: Sequence[Spelling]
    ) -> float:
        return float(slot_type_f1(_found(predictions), _meant(examples)).mean())

    def metrics(
        self, examples: Sequence[SpokenExample], predictions: Sequence[Spelling], *, seed: int
    ) -> tuple[Metric, ...]:
        said, meant, speakers = _found(predictions), _meant(examples), speakers_of(examples)
        f1 = slot_type_f1(said, meant)
        counts = slot_value_counts(said, meant)
        return (
            ratio_metric(
                "slot_type_f1",
                f1,
                np.ones_like(f1),
                speakers,
                seed=seed,
                higher_is_better=True,
                most=1.0,
            ),
            ratio_metric("slot_value_cer", *counts, speakers, seed=seed),
        )

    def write_outputs(
        self, folder: Path, data: SoundData[SpokenExample], predictions: Sequence[Spelling]
    ) -> tuple[Path, ...]:
        """`test-hyp.ark` and, of the same form, `test-ref.ark`."""
        keys = keys_of(data.test)
        return (
            write_ark(folder / "test-hyp.ark", keys, _found(predictions)),
            write_ark(folder / "test-ref.ark", keys, _meant(data.test)),
        )


def _examples(
    root: Path, side: str, vocabulary: Vocabulary, *, own_data: bool
) -> tuple[SpokenExample, ...]:
    sentences = read_audio_snips(root, side, own_data=own_data)
    named = {slot for sentence in sentences for slot in sentence.slots if slot != "O"}
    strangers = sorted(slot for slot in named if f"B-{slot}" not in vocabulary)
    refuse(strangers, f"slots of {side} are not in slots.txt", "make both by one preparation")
    examples = []
    for sentence in sentences:
        symbols = slot_symbols(sentence.words, sentence.slots)
        # A character that is none of the vocabulary's is spelt, and scored, as unknown.
        target = vocabulary.target(symbols)
        text = slot_text(vocabulary.read(target))
        examples.append(spoken(sentence.key, sentence.path, sentence.speaker, text, target))
    return tuple(examples)


def _found(predictions: Sequence[Spelling]) -> list[str]:
    return [slot_text(prediction.symbols) for prediction in predictions]


def _meant(examples: Sequence[SpokenExample]) -> list[str]:
    return [example.text for example in examples]
