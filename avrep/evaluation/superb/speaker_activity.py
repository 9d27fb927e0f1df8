"""From how likely each speaker speaks in each frame to who spoke when."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.ndimage import median_filter

from avrep.evaluation.diarization import (
    DiarizationErrors,
    Turn,
    diarization_errors,
    summed,
)

Frames = npt.NDArray[np.float32]
"""float32[n k]: of each frame and speaker."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Binarising:
    """How likelihoods become yes or no."""

    threshold: float
    """A speaker speaks in a frame above it."""
    median_frames: int
    """Odd. Then each frame becomes what most of so many around it are; 1 changes nothing."""


GRID = tuple(
    Binarising(threshold=threshold, median_frames=median_frames)
    for median_frames in (1, 11)
    for threshold in (0.3, 0.4, 0.5, 0.6, 0.7)
)
"""Those that SUPERB tries."""


def frame_labels(
    turns: Sequence[Turn],
    speakers: Sequence[str],
    frames: range,
    frame_s: float,
    num_speakers: int,
) -> Frames:
    """float32[frames num_speakers]: 1 where a speaker speaks.

    A turn begins and ends at the frame boundary nearest to it. (The public toolkit forgets, in a chunk,
    a turn that begins before it and ends behind it; here it counts.)

    Args:
        turns: of a recording.
        speakers: of the recording, at most `num_speakers`; the number of each is its column.
        frames: which of the recording's frames.
        frame_s: from one frame to the next.
        num_speakers: columns.
    """
    labels = np.zeros((len(frames), num_speakers), dtype=np.float32)
    for turn in turns:
        start, end = (round(time_s / frame_s) for time_s in (turn.start_s, turn.end_s))
        first, last = (min(max(edge - frames.start, 0), len(frames)) for edge in (start, end))
        labels[first:last, speakers.index(turn.speaker)] = 1
    return labels


def speaker_turns(likelihoods: Frames, binarising: Binarising, frame_s: float) -> tuple[Turn, ...]:
    """The turns of a recording, its speakers called "0", "1" and so on.

    As EEND's make_rttm: first the threshold, then the median filter, with silence around.

    Args:
        likelihoods: float32[n k] in [0, 1].
        binarising: how.
        frame_s: from one frame to the next.
    """
    active = (likelihoods > binarising.threshold).astype(np.int8)
    active = median_filter(active, size=(binarising.median_frames, 1), mode="constant")
    edges = np.diff(np.pad(active, ((1, 1), (0, 0))), axis=0)
    turns = []
    for speaker, column in enumerate(edges.T):
        ends = zip(np.flatnonzero(column == 1), np.flatnonzero(column == -1), strict=True)
        turns += [
            Turn(start_s=int(first) * frame_s, end_s=int(last) * frame_s, speaker=str(speaker))
            for first, last in ends
        ]
    return tuple(sorted(turns))


def binarised_errors(
    likelihoods: Mapping[str, Frames],
    references: Mapping[str, Sequence[Turn]],
    binarising: Binarising,
    frame_s: float,
) -> dict[str, DiarizationErrors]:
    """The errors of each recording.

    Args:
        likelihoods: of each recording, see `speaker_turns`.
        references: who spoke in it.
        binarising: how.
        frame_s: from one frame to the next.
    """
    return {
        recording: diarization_errors(
            references[recording], speaker_turns(frames, binarising, frame_s)
        )
        for recording, frames in likelihoods.items()
    }


def choose_binarising(
    likelihoods: Mapping[str, Frames], references: Mapping[str, Sequence[Turn]], frame_s: float
) -> Binarising:
    """That of `GRID` with the least error rate, the first of equals. Arguments as above."""
    rates = [
        summed(binarised_errors(likelihoods, references, each, frame_s).values()).rate
        for each in GRID
    ]
    return GRID[int(np.argmin(rates))]
