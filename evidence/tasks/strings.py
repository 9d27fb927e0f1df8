"""Strings of digits as LibriSpeech lays out its sentences."""

from pathlib import Path

import av
import numpy as np

from avrep.evaluation.sound.recordings import RATE_HZ
from avrep.rng import Stage, at
from avrep.types import Address, Audio
from evidence.tasks.digits import SPEAKERS, Digit, heard, read_digits

WORDS = ("ZERO", "ONE", "TWO", "THREE", "FOUR", "FIVE", "SIX", "SEVEN", "EIGHT", "NINE")

_PARTS = {"test-clean": range(5), "dev-clean": range(5, 10), "train-clean-100": range(10, 50)}
"""By the index of a recording: the official test part, and ten of a hundred of the rest to choose on."""


def write_strings(media: Path, root: Path) -> Path:
    """Each speaker's recordings of each part once, three to five in a row, in an order drawn.

    Args:
        media: the folder of real media.
        root: made if it is not there.
    """
    digits = read_digits(media)
    for lane, (part, indices) in enumerate(_PARTS.items()):
        for number, speaker in enumerate(SPEAKERS, start=1):
            own = [each for each in digits if each.speaker == speaker and each.index in indices]
            assert {each.is_test for each in own} == {part == "test-clean"}
            draws = at(0, Stage.SYNTH, Address(0, number), lane=lane)
            chapter = root / "LibriSpeech" / part / str(number) / str(lane)
            _write_chapter(chapter, [own[place] for place in draws.permutation(len(own))], draws)
    return root


def write_lexicon(path: Path) -> Path:
    """The ten words, spelled: what is decoded with."""
    path.write_text("".join(f"{word}\t{' '.join(word)} |\n" for word in WORDS), encoding="utf-8")
    return path


def _write_chapter(chapter: Path, left: list[Digit], draws: np.random.Generator) -> None:
    name = f"{chapter.parent.name}-{chapter.name}"
    chapter.mkdir(parents=True)
    lines = []
    while left:
        count = int(draws.integers(3, 6))
        chosen, left = left[:count], left[count:]
        key = f"{name}-{len(lines):04d}"
        _write_flac(chapter / f"{key}.flac", heard([each.path for each in chosen]))
        lines.append(f"{key} {' '.join(WORDS[each.digit] for each in chosen)}\n")
    (chapter / f"{name}.trans.txt").write_text("".join(lines), encoding="utf-8")


def _write_flac(path: Path, sound: Audio) -> None:
    samples = (np.clip(sound, -1, 1) * 32_767).astype(np.int16)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("flac", rate=RATE_HZ, layout="mono")
        frame = av.AudioFrame.from_ndarray(samples[None], format="s16", layout="mono")
        frame.sample_rate = RATE_HZ
        for packet in (*stream.encode(frame), *stream.encode(None)):
            container.mux(packet)
