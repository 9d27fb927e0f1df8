"""Trials to choose on, of speakers who are kept out of training."""

import math
from collections.abc import Iterator, Sequence
from itertools import combinations, product
from typing import Literal

import numpy as np

from avrep.errors import ConfigError
from avrep.evaluation.sound.recordings import Recording
from avrep.evaluation.superb.voxceleb1_trials import Trial
from avrep.rng import Stage, at
from avrep.types import Address

MAX_SPEAKERS = 40
"""As many as VoxCeleb1's test has."""
MAX_TRIALS = 8000

Pair = tuple[Recording, Recording]

_SPLIT_SEED = 0
_LANE = (1 << 20) + 16


def hold_out_speakers(
    recordings: Sequence[Recording], num_trials: int = MAX_TRIALS
) -> tuple[tuple[Recording, ...], tuple[Recording, ...], tuple[Trial, ...]]:
    """Keep a tenth of the speakers, at least 2 and at most 40, out of training; draw their trials.

    Half of the trials are of one speaker, half of two; none is drawn twice. The same recordings are
    always parted the same way, so that encoders can be compared. (avrep default: the published recipe
    holds nobody out and chooses on the test's trials.)

    Args:
        recordings: of all training speakers.
        num_trials: at most; fewer where there are not so many pairs.

    Returns:
        Recordings to train on, recordings of the trials, the trials.

    Raises:
        ConfigError: fewer than 4 speakers, or nobody held out has two recordings.
    """
    by_speaker: dict[str, list[Recording]] = {}
    for recording in recordings:
        by_speaker.setdefault(recording.speaker, []).append(recording)
    if len(by_speaker) < 4:
        raise ConfigError(
            f"{len(by_speaker)} training speakers: holding 2 out to choose on needs 4. "
            "Mend: more speakers, or select_on='test', which chooses on the test's own trials"
        )
    rng = at(_SPLIT_SEED, Stage.EVALUATION, Address(0, 0), lane=_LANE)
    num_held = min(MAX_SPEAKERS, max(2, len(by_speaker) // 10))
    held = sorted(rng.permutation(sorted(by_speaker)).tolist()[:num_held])
    own = {speaker: by_speaker[speaker] for speaker in held}
    if all(len(listed) < 2 for listed in own.values()):
        raise ConfigError("no held-out speaker has two recordings to compare")
    pairs = [*_pairs(rng, own, num_trials // 2, 1), *_pairs(rng, own, num_trials // 2, 2)]
    trials = tuple(
        Trial(first=first.key, second=second.key, is_target=first.speaker == second.speaker)
        for first, second in pairs
    )
    keys = {key for trial in trials for key in (trial.first, trial.second)}
    valid = [recording for listed in own.values() for recording in listed if recording.key in keys]
    train = tuple(recording for recording in recordings if recording.speaker not in own)
    return train, tuple(valid), trials


def _pairs(
    rng: np.random.Generator,
    own: dict[str, list[Recording]],
    num_pairs: int,
    num_speakers: Literal[1, 2],
) -> list[Pair]:
    """Pairs of recordings of one speaker or of two, none twice; speakers are equally likely."""
    groups = list(own.values())
    if num_speakers == 1:
        groups = [listed for listed in groups if len(listed) > 1]
        num_possible = sum(math.comb(len(listed), 2) for listed in groups)
    else:
        num_possible = sum(len(a) * len(b) for a, b in combinations(groups, 2))
    found: dict[frozenset[str], Pair] = {}
    if num_possible <= 4 * num_pairs:
        everything = list(_every_pair(groups, num_speakers))
        return [everything[place] for place in rng.permutation(num_possible)[:num_pairs]]
    while len(found) < num_pairs:
        if num_speakers == 1:
            listed = groups[rng.integers(len(groups))]
            first, second = (listed[i] for i in rng.choice(len(listed), size=2, replace=False))
        else:
            both = [groups[i] for i in rng.choice(len(groups), size=2, replace=False)]
            first, second = (listed[rng.integers(len(listed))] for listed in both)
        found.setdefault(frozenset((first.key, second.key)), (first, second))
    return list(found.values())


def _every_pair(groups: list[list[Recording]], num_speakers: Literal[1, 2]) -> Iterator[Pair]:
    if num_speakers == 1:
        for listed in groups:
            yield from combinations(listed, 2)
    else:
        for first, second in combinations(groups, 2):
            yield from product(first, second)
