"""Two speakers of digits talking, as Kaldi folders."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from avrep.evaluation.sound.recordings import RATE_HZ
from avrep.rng import Stage, at
from avrep.types import Address
from evidence.tasks.digits import SPEAKERS, heard, read_digits, write_sound

DURATION_S = 4.0
_NOISE = 0.001
_LONGEST_START_S = 0.5
_PAUSE_S = 0.25, 1.0


def write_conversations(media: Path, root: Path, sizes: Mapping[str, int]) -> Path:
    """Folders of recordings of 4 s; words of the official test part are in `test` alone.

    Each of two speakers says a few digits, a quarter of a second or more apart, wherever the other is.

    Args:
        media: the folder of real media.
        root: made if it is not there.
        sizes: how many recordings each part gets.
    """
    digits = read_digits(media)
    for number, (part, size) in enumerate(sizes.items()):
        own = [each for each in digits if each.is_test == (part == "test")]
        words = {
            speaker: [each.path for each in own if each.speaker == speaker] for speaker in SPEAKERS
        }
        _write_part(root / part, words, size, number)
    return root


def _write_part(folder: Path, words: dict[str, list[Path]], size: int, number: int) -> None:
    folder.mkdir(parents=True)
    files = dict.fromkeys(("wav.scp", "reco2dur", "segments", "utt2spk", "rttm"), "")
    for recording in range(size):
        rng = at(0, Stage.SYNTH, Address(number, recording))
        key = f"{folder.name}{recording:03}"
        sound = _NOISE * rng.normal(size=int(DURATION_S * RATE_HZ))
        for speaker in rng.choice(sorted(words), size=2, replace=False).tolist():
            time_s = rng.uniform(0, _LONGEST_START_S)
            while True:
                spoken = heard([words[speaker][rng.integers(len(words[speaker]))]])
                start = int(time_s * RATE_HZ)
                if start + len(spoken) > len(sound):
                    break
                sound[start : start + len(spoken)] += spoken
                end_s = time_s + len(spoken) / RATE_HZ
                utterance = f"{key}-{speaker}-{start}"
                files["segments"] += f"{utterance} {key} {time_s:.3f} {end_s:.3f}\n"
                files["utt2spk"] += f"{utterance} {speaker}\n"
                files["rttm"] += (
                    f"SPEAKER {key} 1 {time_s:.3f} {end_s - time_s:.3f} "
                    f"<NA> <NA> {speaker} <NA> <NA>\n"
                )
                time_s = end_s + rng.uniform(*_PAUSE_S)
        write_sound(folder / f"{key}.wav", sound.astype(np.float32))
        files["wav.scp"] += f"{key} {key}.wav\n"
        files["reco2dur"] += f"{key} {DURATION_S}\n"
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
