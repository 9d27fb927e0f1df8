"""SUPERB's speech recognition: WER on LibriSpeech test-clean.

    <root>/LibriSpeech/{train-clean-100,dev-clean,test-clean}/...

See `librispeech`; for decoding with a language model, `lexicon_decoder`.
"""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from avrep.evaluation.edits import edit_counts
from avrep.evaluation.ratio_interval import Floats, ratio_metric
from avrep.evaluation.sound.head import BatchPlan, HeadRecipe
from avrep.evaluation.sound.sound_task import SoundData, SoundTask
from avrep.evaluation.superb.ark import write_ark
from avrep.evaluation.superb.bucket_plans import by_samples
from avrep.evaluation.superb.ctc_head import RecurrentCtc, RecurrentHeadConfig, Spelling
from avrep.evaluation.superb.lexicon_decoder import LexiconDecoder, LexiconDecoderConfig
from avrep.evaluation.superb.librispeech import Utterance
from avrep.evaluation.superb.spoken_examples import (
    SpokenExample,
    keys_of,
    librispeech_data,
    speakers_of,
)
from avrep.evaluation.superb.vocabulary import CHARACTERS
from avrep.evaluation.task_result import Metric

Words = tuple[str, ...]

_NOTE = (
    "batches as the public toolkit makes them: utterances of like length, of which every full batch is "
    "cut in two, since the toolkit's bound of 2000 is held against samples; a single one left is dropped"
)


class SpeechRecognition(SoundTask[SpokenExample, Spelling]):
    """Characters of each utterance by CTC, scored as words.

    Args:
        decoder: score the test part with a lexicon and a language model too; None: only without. The
            best head is chosen without, as published.
        head: other sizes than the published ones, which results tell.
        own_data: whether it is a part of LibriSpeech, or other data in its layout; results tell.
    """

    name: ClassVar[str] = "superb/asr"
    recipe: ClassVar[HeadRecipe] = HeadRecipe(
        lr=1e-4, batch_size=32, num_steps=200_000, eval_every=2000
    )

    def __init__(
        self,
        *,
        decoder: LexiconDecoderConfig | None = None,
        head: RecurrentHeadConfig | None = None,
        own_data: bool = False,
    ) -> None:
        self.decoder = decoder
        self.head = head or RecurrentHeadConfig()
        self.own_data = own_data

    def read(self, root: Path, part: str) -> SoundData[SpokenExample]:
        del part
        # What is missing for the decoder is told before the training, not after it.
        _ = self._decoder
        notes = (_NOTE, *self.head.notes())
        if self.decoder is not None:
            notes = (*notes, self.decoder.note())
        return librispeech_data(root, _label, own_data=self.own_data, notes=notes)

    def build_head(self, width: int, data: SoundData[SpokenExample]) -> RecurrentCtc:
        del data
        return RecurrentCtc(
            width,
            CHARACTERS,
            self.head,
            keep_log_probs=self.decoder is not None,
        )

    def decides_head(self, data: SoundData[SpokenExample]) -> str:
        del data
        return self.head.model_dump_json()

    def plan(self, data: SoundData[SpokenExample], recipe: HeadRecipe, seed: int) -> BatchPlan:
        return by_samples([e.num_samples for e in data.train], recipe.batch_size, seed)

    def selection(
        self, examples: Sequence[SpokenExample], predictions: Sequence[Spelling]
    ) -> float:
        edits, lengths = edit_counts(greedy_words(predictions), _reference_words(examples))
        return -float(edits.sum() / lengths.sum())

    def metrics(
        self, examples: Sequence[SpokenExample], predictions: Sequence[Spelling], *, seed: int
    ) -> tuple[Metric, ...]:
        """`wer`, `cer` (of characters and the spaces between words) and, with a decoder, `wer_lm`."""
        meant, said = _reference_words(examples), greedy_words(predictions)
        counts: dict[str, tuple[Floats, Floats]] = {
            "wer": edit_counts(said, meant),
            "cer": edit_counts([" ".join(w) for w in said], [" ".join(w) for w in meant]),
        }
        if self.decoder is not None:
            counts["wer_lm"] = edit_counts(self._lm_words(predictions), meant)
        speakers = speakers_of(examples)
        return tuple(
            ratio_metric(name, *found, speakers, seed=seed) for name, found in counts.items()
        )

    def write_outputs(
        self, folder: Path, data: SoundData[SpokenExample], predictions: Sequence[Spelling]
    ) -> tuple[Path, ...]:
        """`test-clean-noLM-hyp.ark`, with a decoder `test-clean-LM-hyp.ark`, and `-ref.ark` of each."""
        found = {"noLM": greedy_words(predictions)}
        if self.decoder is not None:
            found["LM"] = self._lm_words(predictions)
        keys = keys_of(data.test)
        paths = []
        for kind, said in found.items():
            for name, words in (("hyp", said), ("ref", _reference_words(data.test))):
                path = folder / f"test-clean-{kind}-{name}.ark"
                paths.append(write_ark(path, keys, [" ".join(each) for each in words]))
        return tuple(paths)

    @cached_property
    def _decoder(self) -> LexiconDecoder | None:
        return None if self.decoder is None else LexiconDecoder(self.decoder)

    def _lm_words(self, predictions: Sequence[Spelling]) -> list[Words]:
        decoder = self._decoder
        assert decoder is not None
        found = []
        for prediction in predictions:
            assert prediction.log_probs is not None
            found.append(decoder.words(prediction.log_probs))
        return found


def greedy_words(predictions: Sequence[Spelling]) -> list[Words]:
    """The words between the marks `|`."""
    return [
        tuple("".join(prediction.symbols).replace("|", " ").split()) for prediction in predictions
    ]


def _label(utterances: Sequence[Utterance]) -> list[tuple[str, tuple[int, ...]]]:
    """The target has `|` after each word."""
    texts = [utterance.text for utterance in utterances]
    return [(text, CHARACTERS.target(text.replace(" ", "|") + "|")) for text in texts]


def _reference_words(examples: Sequence[SpokenExample]) -> list[Words]:
    return [tuple(example.text.split()) for example in examples]
