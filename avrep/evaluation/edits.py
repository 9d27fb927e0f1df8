"""How far transcripts are from what was said: edits, and their share of what was said."""

from collections.abc import Hashable, Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def num_edits(hypothesis: Sequence[Hashable], reference: Sequence[Hashable]) -> int:
    """The fewest insertions, deletions and substitutions that turn one into the other.

    Levenshtein's distance, a whole column of its table in each integer (Myers, J. ACM 46, 1999, in
    the form of Hyyrö, 2003): as many steps as the hypothesis has tokens.

    Args:
        hypothesis: tokens; a string is one of characters.
        reference: tokens of the same kind.
    """
    if not reference:
        return len(hypothesis)
    places: dict[Hashable, int] = {}
    for place, token in enumerate(reference):
        places[token] = places.get(token, 0) | 1 << place
    every, last = (1 << len(reference)) - 1, 1 << len(reference) - 1
    # Bit i: whether the table's column goes up, or down, by one from row i to row i + 1.
    up, down, distance = every, 0, len(reference)
    for token in hypothesis:
        equal = places.get(token, 0)
        same = equal | down
        diagonal = (((equal & up) + up) ^ up) | equal
        rises = down | ~(diagonal | up) & every
        falls = up & diagonal
        distance += bool(rises & last) - bool(falls & last)
        rises, falls = (rises << 1 | 1) & every, falls << 1 & every
        up, down = falls | ~(same | rises) & every, rises & same
    return distance


def edit_counts(
    hypotheses: Sequence[Sequence[Hashable]], references: Sequence[Sequence[Hashable]]
) -> tuple[Floats, Floats]:
    """Edits and reference tokens of each utterance, float64[n] both.

    The sum of the first over the sum of the second is the word, phone or character error rate: long
    utterances count for more than short ones, and a rate may be over 1.

    Args:
        hypotheses: n sequences of tokens.
        references: what was said, in the same order.
    """
    pairs = list(zip(hypotheses, references, strict=True))
    edits = np.array([num_edits(said, meant) for said, meant in pairs], np.float64)
    return edits, np.array([len(meant) for _, meant in pairs], np.float64)
