"""The Free Spoken Digit Dataset, and what folders made of its recordings share."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from avrep.evaluation.sound.recordings import RATE_HZ, Recording, read_wave
from avrep.media import synth_write
from avrep.types import Audio

SPEAKERS = ("george", "jackson", "nicolas", "theo")
FSDD = "speech/fsdd"
"""Its folder below that of real media."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Digit:
    """A recording of one spoken digit, about 0.4 s."""

    path: Path
    digit: int
    speaker: str
    index: int
    """Of 50 recordings of this digit by this speaker; the first five are the official test's."""
    is_test: bool


def read_digits(media: Path) -> tuple[Digit, ...]:
    """All recordings, in the order of their table.

    Args:
        media: the folder of real media.
    """
    folder = media / FSDD
    with (folder / "labels.csv").open(encoding="utf-8", newline="") as file:
        return tuple(
            Digit(
                path=folder / row["file"],
                digit=int(row["digit"]),
                speaker=row["speaker"],
                index=int(row["index"]),
                is_test=row["official_split"] == "test",
            )
            for row in csv.DictReader(file)
        )


def heard(paths: Sequence[Path]) -> Audio:
    """float32[s]: recordings one after another, at 16 kHz."""
    waves = [read_wave(Recording(key=path.stem, path=path)).numpy() for path in paths]
    return np.concatenate(waves)


def write_sound(path: Path, sound: Audio) -> None:
    """Write float[s] at 16 kHz, cut to [-1, 1], into a folder that is made if it is not there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    synth_write.write_wav(path, np.clip(sound, -1, 1).astype(np.float32), rate_hz=RATE_HZ)


def link(place: Path, source: Path) -> None:
    """Let a file be found at another place too."""
    place.parent.mkdir(parents=True, exist_ok=True)
    place.symlink_to(source.resolve())
