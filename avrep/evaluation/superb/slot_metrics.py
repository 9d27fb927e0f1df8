"""How well slots were filled, as SUPERB scores Audio SNIPS.

A transcript marks each slot's value by two tokens: `PLAY B-artist THE BEATLES E-artist`. Both scores
read this text as the public toolkit does, so that a slot without its end mark is none, and the name at
the end mark only has to begin with that at the start mark.
"""

import re
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from avrep.evaluation.edits import num_edits

Floats = npt.NDArray[np.float64]

_SLOT = re.compile(r"B-(?P<slot>\S+) (?P<value>.+?) E-(?P=slot)")
_START = re.compile(r"B-\S+ ")
_END = re.compile(r" E-\S+")
_SPACES = re.compile(r" +")


def slot_values(text: str, *, unmarked: bool) -> dict[str, list[str]]:
    """The values of each slot in a marked transcript, in order.

    Args:
        text: the transcript.
        unmarked: take marks that stand within a value out of it, as is done to hypotheses.
    """
    values: dict[str, list[str]] = {}
    for found in _SLOT.finditer(_SPACES.sub(" ", text)):
        value = found["value"]
        if unmarked:
            value = _END.sub("", _START.sub("", value))
        values.setdefault(found["slot"], []).append(value)
    return values


def slot_type_f1(hypotheses: Sequence[str], references: Sequence[str]) -> Floats:
    """F1 of the kinds of slots in each utterance, float64[n]; SUPERB's score is the mean.

    Kinds are counted once an utterance, however often they occur. 1 where neither has a slot, 0 where
    only one has.
    """
    scores = []
    for said, meant in zip(hypotheses, references, strict=True):
        found, wanted = set(_hypothesis(said)), set(_reference(meant))
        # 2PR / (P + R) in counts.
        total = len(found) + len(wanted)
        scores.append(2 * len(found & wanted) / total if total else 1.0)
    return np.array(scores, np.float64)


def slot_value_counts(
    hypotheses: Sequence[str], references: Sequence[str]
) -> tuple[Floats, Floats]:
    """Edits and reference characters of each utterance's values, float64[n] both.

    Each value of the reference is held against the nearest of the hypothesis's values of that slot,
    which may serve for several, or against nothing where it has none; values only in the hypothesis
    cost nothing. SUPERB's slot value CER is the sum of the first over that of the second.
    """
    edits, lengths = [], []
    for said, meant in zip(hypotheses, references, strict=True):
        found, wanted = _hypothesis(said), _reference(meant)
        pairs = [(value, found.get(slot, [""])) for slot in wanted for value in wanted[slot]]
        edits.append(sum(min(num_edits(guess, value) for guess in all_) for value, all_ in pairs))
        lengths.append(sum(len(value) for value, _ in pairs))
    return np.array(edits, np.float64), np.array(lengths, np.float64)


def _hypothesis(text: str) -> Mapping[str, list[str]]:
    return slot_values(text, unmarked=True)


def _reference(text: str) -> Mapping[str, list[str]]:
    return slot_values(text, unmarked=False)
