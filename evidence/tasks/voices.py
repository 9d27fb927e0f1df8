"""Speakers as VoxCeleb1 lays them out: who says a digit, and whether two were said by one."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from avrep.evaluation.sound.recordings import RATE_HZ
from avrep.types import Audio
from evidence.tasks.digits import FSDD, SPEAKERS, heard, link, read_digits, write_sound

_TRAINED, _VALIDATED, _TESTED = 1, 2, 3
_PIECE_S = 3.0
_LEAST_S = 2.5
"""Of a last piece: what is not over 2 s without its silence does not count in training."""


def write_voices(media: Path, root: Path, *, per_speaker: int = 50) -> Path:
    """Four speakers; a digit is a video, so that what is tested was never said in training.

    Args:
        media: the folder of real media.
        root: made if it is not there.
        per_speaker: recordings of each digit, 50 at most.
    """
    lines = []
    for each in read_digits(media):
        if each.index >= per_speaker:
            continue
        side = _TRAINED if each.digit < 6 else _VALIDATED if each.digit < 8 else _TESTED
        person = f"id{10001 + SPEAKERS.index(each.speaker)}"
        name = f"{person}/digit{each.digit}/{each.index:05d}.wav"
        link(root / "dev/wav" / name, each.path)
        lines.append(f"{side} {name}\n")
    (root / "veri_test_class.txt").write_text("".join(lines), encoding="utf-8")
    return root


def write_trials(media: Path, root: Path) -> Path:
    """The 600 trials that lie beside the digits; to train on, the speakers of other recordings.

    These are six readers of sentences, of whom two are held out to choose on, in pieces of 3 s.

    Args:
        media: the folder of real media.
        root: made if it is not there.
    """
    said = (media / FSDD / "asv_trials.txt").read_text(encoding="utf-8").splitlines()
    lines = []
    for answer, *names in (line.split() for line in said):
        lines.append(" ".join([answer, *(_place(name) for name in names)]) + "\n")
        for name in names:
            place = root / "test/wav" / _place(name)
            if not place.exists():
                link(place, media / FSDD / name)
    (root / "veri_test.txt").write_text("".join(lines), encoding="utf-8")
    for speaker, path in _others(media):
        for number, piece in enumerate(_pieces(heard([path]))):
            write_sound(root / f"dev/wav/{speaker}/{path.stem}/{number:05d}.wav", piece)
    return root


def _place(name: str) -> str:
    """`theo/3/00004.wav` of `wav/3_theo_4.wav`."""
    digit, speaker, index = Path(name).stem.split("_")
    return f"{speaker}/{digit}/{int(index):05d}.wav"


def _others(media: Path) -> Iterator[tuple[str, Path]]:
    """The recordings of six others: LibriSpeech's, LJ Speech's, one reader's."""
    sentences = media / "speech/sentences"
    for path in sorted(sentences.glob("librispeech_*")):
        yield f"libri{path.stem.split('_')[1].split('-')[0]}", path
    for name, pattern in (("lj", "ljspeech_*.wav"), ("reader", "speechbrain_spk1_*.wav")):
        for path in sorted(sentences.glob(pattern)):
            yield name, path


def _pieces(sound: Audio) -> list[Audio]:
    size, least = int(_PIECE_S * RATE_HZ), int(_LEAST_S * RATE_HZ)
    cut = np.split(sound, range(size, len(sound), size))
    return [piece for piece in cut if len(piece) >= least] or [sound]
