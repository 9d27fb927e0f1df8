"""LibriSpeech's official layout: a folder for each speaker, one for each chapter in it.

    <root>/LibriSpeech/train-clean-100/103/1240/103-1240-0000.flac
    <root>/LibriSpeech/train-clean-100/103/1240/103-1240.trans.txt    103-1240-0000 CHAPTER ONE ...
    <root>/LibriSpeech/dev-clean/...
    <root>/LibriSpeech/test-clean/...

The folder LibriSpeech itself may be given as the root.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from avrep.errors import ConfigError
from avrep.evaluation.action.lists import read_lines, refuse
from avrep.evaluation.sound.layout import Layout

NUM_UTTERANCES = {"train-clean-100": 28_539, "dev-clean": 2703, "test-clean": 2620}
"""Of the parts that SUPERB trains, chooses and tests on (openslr.org/12)."""

NAME = "LibriSpeech"
_LAYOUT = Layout(
    name=NAME,
    source="openslr.org/12",
    tree="""\
LibriSpeech/
    train-clean-100/103/1240/103-1240-0000.flac     speaker, chapter, utterance
    train-clean-100/103/1240/103-1240.trans.txt     likewise dev-clean and test-clean""",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Utterance:
    """What one reader said."""

    key: str
    """"103-1240-0000" """
    path: Path
    speaker: str
    text: str
    """Words in upper case with one space between them."""


def read_librispeech(root: Path, part: str, *, own_data: bool = False) -> tuple[Utterance, ...]:
    """One part, in the order of its keys as text.

    Args:
        root: folder of LibriSpeech's folder, or that folder.
        part: "train-clean-100", "dev-clean" or "test-clean".
        own_data: take a part with other than the official number of utterances.

    Raises:
        ConfigError: the part is not there, is not whole, or has a transcript without sound or a sound
            without transcript.
    """
    found = [folder for folder in (root / "LibriSpeech" / part, root / part) if folder.is_dir()]
    if not found:
        raise _LAYOUT.error(root, f"there is no {part}")
    utterances: list[Utterance] = []
    unheard: list[str] = []
    unwritten: list[str] = []
    missing: list[str] = []
    for chapter in _chapters(found[0]):
        speaker = chapter.parent.name
        transcript = chapter / f"{speaker}-{chapter.name}.trans.txt"
        sounds = {entry.stem: entry for entry in chapter.iterdir() if entry.suffix == ".flac"}
        if sounds and not transcript.is_file():
            missing.append(transcript.name)
            continue
        for _, line in read_lines(transcript) if transcript.is_file() else ():
            key, _, text = line.partition(" ")
            path = sounds.pop(key, None)
            if path is None:
                unheard.append(f"{key}.flac")
                continue
            words = " ".join(text.upper().split())
            utterances.append(Utterance(key=key, path=path, speaker=speaker, text=words))
        unwritten += sorted(path.name for path in sounds.values())
    refuse(unheard, f"utterances of {part} have no sound", f"unpack {part} again")
    refuse(unwritten, f"utterances of {part} have no transcript", f"unpack {part} again")
    refuse(missing, f"files of transcripts of {part} are missing", f"unpack {part} again")
    _check_number(root, part, len(utterances), own_data=own_data)
    return tuple(sorted(utterances, key=lambda utterance: utterance.key))


def other_data_notes(root: Path, found: Mapping[str, int]) -> tuple[str, ...]:
    """A note where parts, by the numbers of their utterances, are not LibriSpeech's."""
    counts = {f"utterances of {part}": number for part, number in found.items()}
    official = {f"utterances of {part}": NUM_UTTERANCES[part] for part in found}
    return _LAYOUT.check_counts(root, counts, official, own_data=True)


def _chapters(folder: Path) -> Iterator[Path]:
    for speaker in sorted(entry for entry in folder.iterdir() if entry.is_dir()):
        yield from sorted(entry for entry in speaker.iterdir() if entry.is_dir())


def _check_number(root: Path, part: str, num_found: int, *, own_data: bool) -> None:
    official = NUM_UTTERANCES.get(part)
    if num_found == 0:
        raise _LAYOUT.error(root, f"{part} has no utterances")
    if not own_data and official is not None and num_found != official:
        raise ConfigError(
            f"{part} in {root} has {num_found} utterances and should have {official}. "
            "Mend: unpack it again; for data of your own in this layout: --own-data"
        )
