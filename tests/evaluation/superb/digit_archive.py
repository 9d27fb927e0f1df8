"""Digits of the Free Spoken Digit Dataset to be found in strings of digits, laid out as QUESST 2014."""

import csv
from pathlib import Path

import numpy as np

from avrep.evaluation.sound.recordings import Recording, read_wave
from avrep.rng import Stage, at
from avrep.types import Address
from tests.evaluation.superb.voices import write_sound


def write_digit_archive(fsdd: Path, root: Path, num_documents: int, num_queries: int) -> Path:
    """Documents of three digits by one speaker; queries of one digit, by anyone, of other recordings.

    Args:
        fsdd: the data set's folder.
        root: made if it is not there.
        num_documents: of the official test part.
        num_queries: of each of dev and eval, of the official training part.
    """
    with (fsdd / "labels.csv").open() as file:
        rows = list(csv.DictReader(file))
    folder = root / "quesst14Database"
    scoring = folder / "scoring"
    scoring.mkdir(parents=True)
    said: dict[str, list[str]] = {}
    for number in range(num_documents):
        rng = at(0, Stage.SYNTH, Address(0, number))
        speaker = rng.choice(sorted({row["speaker"] for row in rows}))
        own = [r for r in rows if (r["speaker"], r["official_split"]) == (speaker, "test")]
        picked = [own[place] for place in rng.choice(len(own), size=3, replace=False)]
        said[f"quesst14_{number:05}"] = [row["digit"] for row in picked]
        sound = np.concatenate([_read(fsdd, row["file"]) for row in picked])
        write_sound(folder / f"Audio/quesst14_{number:05}.wav", sound)
    _write_key(scoring / "language_key_utterances.lst", [f"Audio/{name}.wav" for name in said])
    for part_number, part in enumerate(("dev", "eval"), start=1):
        truth = scoring / f"groundtruth_quesst14_{part}"
        truth.mkdir()
        rng = at(0, Stage.SYNTH, Address(part_number, 0))
        able = [row for row in rows if row["official_split"] == "train"]
        picked = [able[place] for place in rng.choice(len(able), size=num_queries, replace=False)]
        queries = {f"quesst14_{part}_{number:04}": row for number, row in enumerate(picked)}
        for query, row in queries.items():
            write_sound(folder / f"{part}_queries/{query}.wav", _read(fsdd, row["file"]))
        names = [f"{part}_queries/{query}.wav" for query in queries]
        _write_key(scoring / f"language_key_{part}.lst", names)
        occurrences = "".join(
            f"LEXEME {document} 1 0 1 {query} lex spk 1\n"
            for query, row in queries.items()
            for document, digits in said.items()
            if row["digit"] in digits
        )
        (truth / "truth.rttm").write_text(occurrences)
        terms = "".join(f'<term termid="{query}"/>' for query in queries)
        (truth / "queries.tlist.xml").write_text(f"<termlist>{terms}</termlist>")
        excerpts = "".join(f'<excerpt audio_filename="Audio/{name}.wav"/>' for name in said)
        (truth / "documents.ecf.xml").write_text(f"<ecf>{excerpts}</ecf>")
    return root


def _read(fsdd: Path, file: str) -> np.ndarray:
    return read_wave(Recording(key=file, path=fsdd / file)).numpy()


def _write_key(path: Path, names: list[str]) -> None:
    path.write_text("".join(f"quesst14Database/{name} nnenglish\n" for name in names))
