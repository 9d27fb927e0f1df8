"""Who spoke when: how much of the speech is given to the wrong speaker, or to none.

Diarization error rate as NIST's md-eval and dscore define it, overlapping speech included.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Turn:
    """One speaker, without a pause, in a recording."""

    start_s: float
    end_s: float
    speaker: str

    def __post_init__(self) -> None:
        if not self.start_s <= self.end_s:
            raise ValueError(f"a turn from {self.start_s} s to {self.end_s} s")


@dataclass(frozen=True, slots=True, kw_only=True)
class DiarizationErrors:
    """Of one recording or of several, in seconds; two who speak at once make two seconds of one."""

    speech_s: float
    """What the reference has."""
    miss_s: float
    """Speakers too few."""
    false_alarm_s: float
    """Speakers too many."""
    confusion_s: float
    """As many as there were, but others."""

    @property
    def rate(self) -> float:
        """DER: may be above 1; ValueError where the reference has no speech."""
        if self.speech_s <= 0:
            raise ValueError("no speech in the reference: no error rate")
        return (self.miss_s + self.false_alarm_s + self.confusion_s) / self.speech_s


def diarization_errors(
    reference: Sequence[Turn], hypothesis: Sequence[Turn], *, collar_s: float = 0.0
) -> DiarizationErrors:
    """The errors of one recording, under the one-to-one match of speakers that is right longest.

    Turns of one speaker that touch or overlap count as one.

    Args:
        reference: who spoke.
        hypothesis: who is said to have spoken; names need not be the reference's.
        collar_s: so near to an end of a turn of the reference, before or after, nothing is scored.
            SUPERB has 0; md-eval's -c. (pyannote's collar is the whole width, twice this.)
    """
    truth, found = _merged(reference), _merged(hypothesis)
    forgiven = [
        (edge - collar_s, edge + collar_s) for turn in truth for edge in (turn.start_s, turn.end_s)
    ]
    edges = {edge for turn in (*truth, *found) for edge in (turn.start_s, turn.end_s)}
    edges |= {edge for zone in forgiven for edge in zone}
    cuts = np.array(sorted(edges))
    if len(cuts) < 2:
        return DiarizationErrors(speech_s=0, miss_s=0, false_alarm_s=0, confusion_s=0)
    middles, lengths = (cuts[1:] + cuts[:-1]) / 2, np.diff(cuts)
    for start, end in forgiven:
        lengths[(middles > start) & (middles < end)] = 0
    return _errors(_activity(truth, middles), _activity(found, middles), lengths)


def summed(errors: Iterable[DiarizationErrors]) -> DiarizationErrors:
    """The errors of several recordings together: a corpus's rate is one of sums, not a mean."""
    listed = list(errors)
    return DiarizationErrors(
        speech_s=sum(each.speech_s for each in listed),
        miss_s=sum(each.miss_s for each in listed),
        false_alarm_s=sum(each.false_alarm_s for each in listed),
        confusion_s=sum(each.confusion_s for each in listed),
    )


def _errors(truth: Floats, found: Floats, lengths: Floats) -> DiarizationErrors:
    """Errors of speakers' activity, float64[r pieces] and [h pieces], over pieces of some length."""
    together = (truth * lengths) @ found.T
    rows, columns = linear_sum_assignment(together, maximize=True)
    right = np.minimum(truth[rows], found[columns]).sum(axis=0)
    num_true, num_found = truth.sum(axis=0), found.sum(axis=0)
    return DiarizationErrors(
        speech_s=float(lengths @ num_true),
        miss_s=float(lengths @ np.maximum(num_true - num_found, 0)),
        false_alarm_s=float(lengths @ np.maximum(num_found - num_true, 0)),
        confusion_s=float(lengths @ (np.minimum(num_true, num_found) - right)),
    )


def _activity(turns: Sequence[Turn], times_s: Floats) -> Floats:
    """float64[speakers times]: 1 where a speaker speaks."""
    names = sorted({turn.speaker for turn in turns})
    active = np.zeros((len(names), len(times_s)))
    for turn in turns:
        inside = (times_s > turn.start_s) & (times_s < turn.end_s)
        active[names.index(turn.speaker), inside] = 1
    return active


def _merged(turns: Sequence[Turn]) -> list[Turn]:
    merged: dict[str, list[Turn]] = {}
    for turn in sorted(turns):
        own = merged.setdefault(turn.speaker, [])
        if own and turn.start_s <= own[-1].end_s:
            end_s = max(own[-1].end_s, turn.end_s)
            own[-1] = Turn(start_s=own[-1].start_s, end_s=end_s, speaker=turn.speaker)
        elif turn.end_s > turn.start_s:
            own.append(turn)
    return [turn for own in merged.values() for turn in own]
