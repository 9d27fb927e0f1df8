"""Real speech as LibriSpeech lays it out: strings of digits, cut from the Free Spoken Digit Dataset."""

import csv
import wave
from pathlib import Path

import numpy as np

from avrep.rng import Stage, at
from avrep.types import Address
from tests.evaluation.superb.small_trees import Sound, write_flac

WORDS = ("ZERO", "ONE", "TWO", "THREE", "FOUR", "FIVE", "SIX", "SEVEN", "EIGHT", "NINE")
SPEAKERS = {"george": 1, "jackson": 2, "nicolas": 3, "theo": 4}

_PARTS = {"test-clean": range(5), "dev-clean": range(5, 10), "train-clean-100": range(10, 50)}
"""By the index of a recording: the official test part, and ten of a hundred of the rest to choose on."""


def write_digit_strings(root: Path, fsdd: Path) -> Path:
    """Each speaker's recordings of each part once, three to five in a row, in an order drawn.

    Args:
        root: of the tree.
        fsdd: folder of labels.csv and the recordings.
    """
    with (fsdd / "labels.csv").open() as file:
        rows = list(csv.DictReader(file))
    for lane, (part, indices) in enumerate(_PARTS.items()):
        for speaker, number in SPEAKERS.items():
            own = [
                row for row in rows if row["speaker"] == speaker and int(row["index"]) in indices
            ]
            assert {row["official_split"] == "test" for row in own} == {part == "test-clean"}
            draws = at(0, Stage.SYNTH, Address(0, number), lane=lane)
            chapter = root / "LibriSpeech" / part / str(number) / str(lane)
            _write_part(chapter, own, fsdd, draws)
    return root


def _write_part(
    chapter: Path,
    rows: list[dict[str, str]],
    fsdd: Path,
    draws: np.random.Generator,
) -> None:
    name = f"{chapter.parent.name}-{chapter.name}"
    left = [rows[place] for place in draws.permutation(len(rows))]
    lines = []
    while left:
        count = int(draws.integers(3, 6))
        chosen, left = left[:count], left[count:]
        key = f"{name}-{len(lines):04d}"
        sound = np.concatenate([_sound(fsdd / row["file"]) for row in chosen])
        write_flac(chapter / f"{key}.flac", sound, rate_hz=8000)
        lines.append(f"{key} {' '.join(WORDS[int(row['digit'])] for row in chosen)}\n")
    (chapter / f"{name}.trans.txt").write_text("".join(lines))


def _sound(path: Path) -> Sound:
    with wave.open(str(path)) as file:
        return np.frombuffer(file.readframes(file.getnframes()), np.int16)
