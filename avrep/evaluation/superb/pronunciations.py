"""Words as phones, by the two lexicons that SUPERB's phone recognition takes its labels from.

    <root>/librispeech-lexicon-200k-g2p.txt         ABACK<tab>AH0 B AE1 K
    <root>/librispeech-lexicon-allothers-g2p.txt    words that the first has not

They come with s3prl (`s3prl/downstream/ctc/lexicon`).
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from avrep.errors import ConfigError
from avrep.evaluation.action.lists import read_lines, refuse
from avrep.evaluation.superb.vocabulary import PHONES

LEXICONS = ("librispeech-lexicon-200k-g2p.txt", "librispeech-lexicon-allothers-g2p.txt")

_SPECIALS = 3


def read_pronunciations(root: Path) -> dict[str, tuple[str, ...]]:
    """The first pronunciation of each word, in the order of the files and of their lines.

    Args:
        root: the folder of both files, or of a folder `lexicon` with them.

    Raises:
        ConfigError: a file is missing or malformed, or has a phone that is none of the 71.
    """
    phones = frozenset(PHONES.symbols[_SPECIALS:])
    words: dict[str, tuple[str, ...]] = {}
    for name in LEXICONS:
        places = [folder / name for folder in (root, root / "lexicon")]
        path = next((place for place in places if place.is_file()), None)
        if path is None:
            listed = " and ".join(f"{root}/{each}" for each in LEXICONS)
            raise ConfigError(
                f"no {name} in {root}. Mend: put {listed} there, from s3prl/downstream/ctc/lexicon"
            )
        for where, line in read_lines(path):
            word, *spoken = line.split()
            if not spoken or not phones.issuperset(spoken):
                raise ConfigError(f"{where}: want '<word><tab><ARPABET phones>', got {line!r}")
            words.setdefault(word, tuple(spoken))
    return words


def phones_of(
    texts: Sequence[str], pronunciations: Mapping[str, tuple[str, ...]]
) -> list[tuple[str, ...]]:
    """The phones of each text, word after word, with nothing between words.

    Raises:
        ConfigError: a word has no pronunciation. (The public toolkit ends there too, by a KeyError; its
            second lexicon was made so that no word of LibriSpeech is without.)
    """
    strangers = sorted({word for text in texts for word in text.split()} - pronunciations.keys())
    refuse(strangers, "words have no pronunciation", f"add them to {LEXICONS[1]}")
    return [
        tuple(phone for word in text.split() for phone in pronunciations[word]) for text in texts
    ]
