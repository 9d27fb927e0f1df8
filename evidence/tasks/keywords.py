"""Digits as Speech Commands lays out its ten words; sentences as what is unknown."""

from pathlib import Path

from avrep.evaluation.superb.ks import SILENCE, UNKNOWN, WORDS
from evidence.tasks.digits import Digit, link, read_digits

_TRAIN, _TEST = "speech_commands_v0.01", "speech_commands_test_set_v0.01"
_SENTENCES_TESTED = 2
_READER = "reader"
"""Of all the sentences."""


def write_keywords(media: Path, root: Path, *, per_speaker: int = 50) -> Path:
    """Digits under the ten words' names; of noises there are two real recordings.

    The rule that holds speakers out is one of names, and four speakers are too few for it: in training
    each recording has a name of its own, which tells its speaker and number. In the test the name is
    the speaker's, over whom intervals are.

    Args:
        media: the folder of real media.
        root: made if it is not there.
        per_speaker: recordings of each digit, 50 at most.
    """
    for each in read_digits(media):
        if each.index < per_speaker:
            part = _TEST if each.is_test else _TRAIN
            name = f"{each.speaker}_nohash_{each.index}" if each.is_test else _named_alone(each)
            link(root / part / WORDS[each.digit] / f"{name}.wav", each.path)
    for number in (2, 3):
        noise = media / f"speech/augment/noise{number}.wav"
        link(root / _TRAIN / "_background_noise_" / noise.name, noise)
        link(root / _TEST / SILENCE / noise.name, noise)
    for number, sentence in enumerate(sorted((media / "speech/sentences").glob("speechbrain_*"))):
        if number < _SENTENCES_TESTED:
            link(root / _TEST / UNKNOWN / f"{_READER}_nohash_{number}.wav", sentence)
        else:
            link(root / _TRAIN / "sentence" / f"{sentence.stem}_nohash_0.wav", sentence)
    return root


def _named_alone(digit: Digit) -> str:
    return f"{digit.speaker}{digit.index}_nohash_0"
