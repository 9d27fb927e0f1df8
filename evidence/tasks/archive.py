"""Digits to be found in strings of digits, laid out as QUESST 2014."""

from collections.abc import Sequence
from pathlib import Path

from avrep.rng import Stage, at
from avrep.types import Address
from evidence.tasks.digits import SPEAKERS, Digit, heard, read_digits, write_sound

_DIGITS_SAID = 3


def write_archive(media: Path, root: Path, num_documents: int, num_queries: int) -> Path:
    """Documents of three digits by one speaker; queries of one digit, by anyone, of other recordings.

    Args:
        media: the folder of real media.
        root: made if it is not there.
        num_documents: of the official test part.
        num_queries: of each of dev and eval, of the official training part.
    """
    digits = read_digits(media)
    folder = root / "quesst14Database"
    scoring = folder / "scoring"
    scoring.mkdir(parents=True)
    said: dict[str, set[int]] = {}
    for number in range(num_documents):
        rng = at(0, Stage.SYNTH, Address(0, number))
        speaker = rng.choice(SPEAKERS)
        own = [each for each in digits if each.is_test and each.speaker == speaker]
        picked = [own[place] for place in rng.choice(len(own), size=_DIGITS_SAID, replace=False)]
        name = f"quesst14_{number:05}"
        said[name] = {each.digit for each in picked}
        write_sound(folder / f"Audio/{name}.wav", heard([each.path for each in picked]))
    _write_key(scoring / "language_key_utterances.lst", [f"Audio/{name}.wav" for name in said])
    able = [each for each in digits if not each.is_test]
    for part_number, part in enumerate(("dev", "eval"), start=1):
        rng = at(0, Stage.SYNTH, Address(part_number, 0))
        picked = [able[place] for place in rng.choice(len(able), size=num_queries, replace=False)]
        queries = {f"quesst14_{part}_{number:04}": each for number, each in enumerate(picked)}
        for query, each in queries.items():
            write_sound(folder / f"{part}_queries/{query}.wav", heard([each.path]))
        names = [f"{part}_queries/{query}.wav" for query in queries]
        _write_key(scoring / f"language_key_{part}.lst", names)
        _write_truth(scoring / f"groundtruth_quesst14_{part}", queries, said)
    return root


def _write_truth(folder: Path, queries: dict[str, Digit], said: dict[str, set[int]]) -> None:
    occurrences = "".join(
        f"LEXEME {document} 1 0 1 {query} lex spk 1\n"
        for query, each in queries.items()
        for document, digits in said.items()
        if each.digit in digits
    )
    terms = "".join(f'<term termid="{query}"/>' for query in queries)
    excerpts = "".join(f'<excerpt audio_filename="Audio/{name}.wav"/>' for name in said)
    folder.mkdir()
    (folder / "truth.rttm").write_text(occurrences, encoding="utf-8")
    (folder / "queries.tlist.xml").write_text(f"<termlist>{terms}</termlist>", encoding="utf-8")
    (folder / "documents.ecf.xml").write_text(f"<ecf>{excerpts}</ecf>", encoding="utf-8")


def _write_key(path: Path, names: Sequence[str]) -> None:
    lines = (f"quesst14Database/{name} nnenglish\n" for name in names)
    path.write_text("".join(lines), encoding="utf-8")
