"""What PR, ASR and SF share: examples with targets, and LibriSpeech as two of them use it."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from avrep.evaluation.sound.head import BatchPlan, HeadRecipe
from avrep.evaluation.sound.recordings import Recording
from avrep.evaluation.sound.sound_task import Example, SoundData
from avrep.evaluation.superb.bucket_plans import by_tokens
from avrep.evaluation.superb.librispeech import (
    NAME,
    NUM_UTTERANCES,
    Utterance,
    other_data_notes,
    read_librispeech,
)
from avrep.evaluation.superb.num_samples import num_samples

TOKEN_PLAN_NOTE = (
    "batches as the public toolkit makes them: utterances with targets of like length, from a place "
    "drawn; where the first is over 18.75 s, the second half is dropped"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SpokenExample(Example):
    """An utterance and the tokens to be found in it."""

    text: str
    """What was said, as output files write it."""
    target: tuple[int, ...]
    num_samples: int
    """At 16 kHz."""


def spoken(key: str, path: Path, speaker: str, text: str, target: tuple[int, ...]) -> SpokenExample:
    """An example of a whole file, whose length is read from its header."""
    recording = Recording(key=key, path=path, speaker=speaker)
    length = num_samples(path)
    return SpokenExample(recording=recording, text=text, target=target, num_samples=length)


def librispeech_data(
    root: Path,
    label: Callable[[Sequence[Utterance]], Iterable[tuple[str, tuple[int, ...]]]],
    *,
    own_data: bool,
    notes: tuple[str, ...],
) -> SoundData[SpokenExample]:
    """train-clean-100, dev-clean and test-clean.

    Args:
        root: see `read_librispeech`.
        label: text and target of some utterances, in their order.
        own_data: take other numbers of utterances; name and notes then say that it is other data.
        notes: of the task.

    Raises:
        ConfigError: see `read_librispeech`.
    """
    sides: list[tuple[SpokenExample, ...]] = []
    for part in NUM_UTTERANCES:
        found = read_librispeech(root, part, own_data=own_data)
        pairs = zip(found, label(found), strict=True)
        sides.append(tuple(spoken(u.key, u.path, u.speaker, *labels) for u, labels in pairs))
    others = other_data_notes(root, dict(zip(NUM_UTTERANCES, map(len, sides), strict=True)))
    train, valid, test = sides
    return SoundData(
        name=root.name if others else NAME,
        other_lists=bool(others),
        train=train,
        valid=valid,
        test=test,
        notes=(*notes, *others),
    )


def token_plan(data: SoundData[SpokenExample], recipe: HeadRecipe, seed: int) -> BatchPlan:
    """PR's and SF's batches: see `by_tokens`, and `TOKEN_PLAN_NOTE` for those who read a result."""
    return by_tokens(
        [len(example.target) for example in data.train],
        [example.num_samples for example in data.train],
        recipe.batch_size,
        seed,
    )


def keys_of(examples: Sequence[SpokenExample]) -> list[str]:
    return [example.recording.key for example in examples]


def speakers_of(examples: Sequence[SpokenExample]) -> list[str]:
    return [example.recording.speaker for example in examples]
