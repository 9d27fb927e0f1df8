"""Two speakers of the Free Spoken Digit Dataset talking, as Kaldi folders."""

import csv
from pathlib import Path

from avrep.evaluation.sound.recordings import Recording, read_wave
from avrep.rng import Stage, at
from avrep.types import Address
from tests.evaluation.superb.voices import write_sound

DURATION_S = 4.0


def write_conversations(fsdd: Path, root: Path, sizes: dict[str, int]) -> Path:
    """Folders of recordings of 4 s; words of the official test part are in `test` alone.

    Each of two speakers says a few digits, a quarter of a second or more apart, wherever the other is.

    Args:
        fsdd: the data set's folder.
        root: made if it is not there.
        sizes: how many recordings each part gets.
    """
    with (fsdd / "labels.csv").open() as file:
        rows = list(csv.DictReader(file))
    speakers = sorted({row["speaker"] for row in rows})
    for number, (part, size) in enumerate(sizes.items()):
        split = "test" if part == "test" else "train"
        words = {
            speaker: [
                row["file"]
                for row in rows
                if row["speaker"] == speaker and row["official_split"] == split
            ]
            for speaker in speakers
        }
        _write_part(fsdd, root / part, words, size, number)
    return root


def _write_part(
    fsdd: Path, folder: Path, words: dict[str, list[str]], size: int, number: int
) -> None:
    folder.mkdir(parents=True)
    files = dict.fromkeys(("wav.scp", "reco2dur", "segments", "utt2spk", "rttm"), "")
    for recording in range(size):
        rng = at(0, Stage.SYNTH, Address(number, recording))
        key = f"{folder.name}{recording:03}"
        sound = 0.001 * rng.normal(size=int(DURATION_S * 16_000))
        for speaker in rng.choice(sorted(words), size=2, replace=False).tolist():
            time_s = rng.uniform(0, 0.5)
            while True:
                word = fsdd / words[speaker][rng.integers(len(words[speaker]))]
                spoken = read_wave(Recording(key=word.stem, path=word)).numpy()
                start = int(time_s * 16_000)
                if start + len(spoken) > len(sound):
                    break
                sound[start : start + len(spoken)] += spoken
                end_s = time_s + len(spoken) / 16_000
                utterance = f"{key}-{speaker}-{start}"
                files["segments"] += f"{utterance} {key} {time_s:.3f} {end_s:.3f}\n"
                files["utt2spk"] += f"{utterance} {speaker}\n"
                files["rttm"] += (
                    f"SPEAKER {key} 1 {time_s:.3f} {end_s - time_s:.3f} "
                    f"<NA> <NA> {speaker} <NA> <NA>\n"
                )
                time_s = end_s + rng.uniform(0.25, 1.0)
        write_sound(folder / f"{key}.wav", sound)
        files["wav.scp"] += f"{key} {key}.wav\n"
        files["reco2dur"] += f"{key} {DURATION_S}\n"
    for name, text in files.items():
        (folder / name).write_text(text)
