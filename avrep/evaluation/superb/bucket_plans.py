"""Batches of utterances of like length, as the public toolkit makes them: pure functions."""

from collections.abc import Sequence

from avrep.evaluation.sound.batch_plan import shuffled_plan
from avrep.evaluation.sound.head import BatchPlan

TOO_LONG_SAMPLES = 300_000
"""18.75 s: a batch of PR and SF that begins with a longer utterance is halved."""
HALVED_ABOVE_SAMPLES = 2000
"""0.125 s, where frames were meant: ASR's batches that begin with a longer utterance are cut in two."""


def by_tokens(
    num_tokens: Sequence[int], num_samples: Sequence[int], batch_size: int, seed: int
) -> BatchPlan:
    """PR's and SF's: neighbours in the order of the targets' lengths, from a place drawn.

    Utterances stand by their tokens, the most first, equal ones in the order given. In an epoch a
    batch begins at each place once, in random order; one that would run over the end is moved up. So
    an epoch has as many batches as utterances, and most of these come `batch_size` times, the first
    ones less often and those near the end more often. A batch whose first utterance is longer than
    `TOO_LONG_SAMPLES` loses its second half.

    Args:
        num_tokens: of each utterance's target.
        num_samples: of each utterance, at 16 kHz.
        batch_size: utterances of a batch that is not halved.
        seed: decides the places.
    """
    order = _longest_first(num_tokens)
    last_place = max(0, len(order) - batch_size)
    places = shuffled_plan(len(order), 1, seed)

    def batch(number: int) -> tuple[int, ...]:
        first = min(last_place, places(number)[0])
        found = order[first : first + batch_size]
        if len(found) > 1 and num_samples[found[0]] > TOO_LONG_SAMPLES:
            found = found[: len(found) // 2]
        return tuple(found)

    return batch


def by_samples(num_samples: Sequence[int], batch_size: int, seed: int) -> BatchPlan:
    """ASR's: utterances by their lengths, the longest first, cut into batches; each once an epoch.

    The toolkit means to halve batches of long utterances only, but takes samples for frames (see
    `HALVED_ABOVE_SAMPLES`): every full batch of speech is cut in two, and 16 is the true size where 32
    is asked for. What is left at the end stays one batch, or is left out if it is a single utterance.
    Equal lengths stand in any order there, and in that given here.

    Args:
        num_samples: of each utterance, at 16 kHz.
        batch_size: utterances of a batch before it is cut.
        seed: decides the order of the batches.

    Raises:
        ValueError: there are too few utterances for any batch.
    """
    order = _longest_first(num_samples)
    batches: list[tuple[int, ...]] = []
    for first in range(0, len(order), batch_size):
        found = tuple(order[first : first + batch_size])
        if len(found) == batch_size >= 2 and num_samples[found[0]] > HALVED_ABOVE_SAMPLES:
            batches += [found[: batch_size // 2], found[batch_size // 2 :]]
        elif len(found) > 1 or batch_size == 1:
            batches.append(found)
    if not batches:
        raise ValueError(f"{len(order)} utterances make no batch of {batch_size}")
    places = shuffled_plan(len(batches), 1, seed)
    return lambda number: batches[places(number)[0]]


def _longest_first(lengths: Sequence[int]) -> list[int]:
    return sorted(range(len(lengths)), key=lambda number: -lengths[number])
