"""Audio SNIPS as SUPERB prepares it: sixteen synthetic voices read the same sentences.

    <root>/SNIPS/all.iob.snips.txt      Ivy-snips-train-0 BOS ADD SABRINA EOS<tab>O O artist AddToPlaylist
    <root>/SNIPS/slots.txt              O, then the name of each slot, a line each
    <root>/SNIPS/train/Ivy-snips-train-0.wav
    <root>/SNIPS/valid/Amy-snips-valid-0.wav
    <root>/SNIPS/test/Brian-snips-test-0.wav

The folder SNIPS itself may be given as the root. Each folder has all sixteen voices; which of them
counts there is SUPERB's choice.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from avrep.errors import ConfigError
from avrep.evaluation.action.lists import read_lines, refuse
from avrep.evaluation.sound.layout import Layout

SPEAKERS = {
    "train": ("Ivy", "Joanna", "Joey", "Justin", "Kendra", "Kimberly", "Matthew", "Salli"),
    "valid": ("Aditi", "Amy", "Geraint", "Nicole"),
    "test": ("Brian", "Emma", "Raveena", "Russell"),
}
NUM_SENTENCES = {"train": 13_084, "valid": 700, "test": 700}
"""That each speaker reads."""

_LIST = "all.iob.snips.txt"
_SLOTS = "slots.txt"
NAME = "Audio SNIPS"
_LAYOUT = Layout(
    name=NAME,
    source="s3prl's preparation of it for SUPERB",
    tree=f"""\
SNIPS/
    {_LIST}
    {_SLOTS}
    train/Ivy-snips-train-0.wav     likewise valid and test""",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sentence:
    """What one voice read, with what each word is for."""

    key: str
    """"Ivy-snips-train-0" """
    path: Path
    speaker: str
    words: tuple[str, ...]
    slots: tuple[str, ...]
    """Of each word: the name of the slot whose value it is part of, or "O"."""


def read_slots(root: Path) -> tuple[str, ...]:
    """The names of the slots, in the file's order, without "O".

    Raises:
        ConfigError: there is no such file, or its first line is not "O".
    """
    first, *names = (line for _, line in read_lines(_folder(root) / _SLOTS))
    if first != "O" or not names:
        raise ConfigError(f"{_SLOTS}: the first line must be 'O', got {first!r}, then slots' names")
    return tuple(names)


def read_audio_snips(root: Path, part: str, *, own_data: bool = False) -> tuple[Sentence, ...]:
    """What the speakers of one part read in its folder, in the order of the keys as text.

    Args:
        root: folder of the folder SNIPS, or that folder.
        part: "train", "valid" or "test".
        own_data: take a part with other than the official number of sentences.

    Raises:
        ConfigError: files are missing or malformed, the part is not whole, or a sound of one of its
            speakers is not listed.
    """
    folder = _folder(root)
    if not (folder / part).is_dir():
        raise _LAYOUT.error(root, f"there is no folder {part}")
    sounds = {entry.stem: entry for entry in (folder / part).iterdir() if entry.suffix == ".wav"}
    sentences: list[Sentence] = []
    unheard: list[str] = []
    for where, line in read_lines(folder / _LIST):
        key, _, rest = line.partition(" ")
        speaker, _, of_part = key.partition("-snips-")
        if speaker not in SPEAKERS[part] or of_part.partition("-")[0] != part:
            continue
        words, slots = _labels(where, rest)
        if key in sounds:
            path = sounds.pop(key)
            sentences.append(
                Sentence(key=key, path=path, speaker=speaker, words=words, slots=slots)
            )
        else:
            unheard.append(f"{key}.wav")
    refuse(unheard, f"sentences of {part} have no sound", "make list and sounds by one preparation")
    unlisted = sorted(key for key in sounds if key.partition("-")[0] in SPEAKERS[part])
    refuse(unlisted, f"sounds of {part} are not in {_LIST}", "make both by one preparation")
    official = NUM_SENTENCES[part] * len(SPEAKERS[part])
    if not sentences or (not own_data and len(sentences) != official):
        raise ConfigError(
            f"{part} in {folder} has {len(sentences)} sentences and should have {official}. "
            "Mend: prepare Audio SNIPS again; for data of your own in this layout: --own-data"
        )
    return tuple(sorted(sentences, key=lambda sentence: sentence.key))


def other_data_notes(root: Path, found: Mapping[str, int]) -> tuple[str, ...]:
    """A note where parts, by the numbers of their sentences, are not those of Audio SNIPS."""
    counts = {f"sentences of {part}": number for part, number in found.items()}
    official = {f"sentences of {part}": NUM_SENTENCES[part] * len(SPEAKERS[part]) for part in found}
    return _LAYOUT.check_counts(root, counts, official, own_data=True)


def _folder(root: Path) -> Path:
    for folder in (root / "SNIPS", root):
        if (folder / _LIST).is_file() and (folder / _SLOTS).is_file():
            return folder
    raise _LAYOUT.error(root, f"there is no {_LIST} with {_SLOTS}")


def _labels(where: str, text: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Words and slots, without the marks of beginning and end and without the intent."""
    said, _, kinds = text.partition("\t")
    words, slots = said.strip().split(" "), kinds.strip().split(" ")
    if len(words) < 3 or len(words) != len(slots):
        raise ConfigError(
            f"{where}: want 'BOS <words> EOS<tab>O <a slot for each word> <intent>', got {text!r}"
        )
    return tuple(words[1:-1]), tuple(slots[1:-1])
