"""Digits as Speech Commands lays out its ten words; sentences as what is unknown."""

from pathlib import Path

from avrep.evaluation.superb.ks import SILENCE, UNKNOWN, WORDS
from evidence.tasks.digits import link, read_digits

_TRAIN, _TEST = "speech_commands_v0.01", "speech_commands_test_set_v0.01"
_SENTENCES_TESTED = 2


def write_keywords(media: Path, root: Path, *, per_speaker: int = 50) -> Path:
    """Digits under the ten words' names; of noises there are two real recordings.

    The rule that holds speakers out is one of names: each recording has one of its own, which tells its
    speaker and number.

    Args:
        media: the folder of real media.
        root: made if it is not there.
        per_speaker: recordings of each digit, 50 at most.
    """
    for each in read_digits(media):
        if each.index < per_speaker:
            part = _TEST if each.is_test else _TRAIN
            name = f"{each.speaker}{each.index}_nohash_0.wav"
            link(root / part / WORDS[each.digit] / name, each.path)
    for number in (2, 3):
        noise = media / f"speech/augment/noise{number}.wav"
        link(root / _TRAIN / "_background_noise_" / noise.name, noise)
        link(root / _TEST / SILENCE / noise.name, noise)
    for number, sentence in enumerate(sorted((media / "speech/sentences").glob("speechbrain_*"))):
        place = f"{_TEST}/{UNKNOWN}" if number < _SENTENCES_TESTED else f"{_TRAIN}/sentence"
        link(root / place / f"{sentence.stem}_nohash_0.wav", sentence)
    return root
