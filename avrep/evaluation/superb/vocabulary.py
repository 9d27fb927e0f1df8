"""The tokens that CTC heads choose from, in the public toolkit's order."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

_VOWELS = "AA AE AH AO AW AY EH ER EY IH IY OW OY UH UW"
_CONSONANTS = "B CH D DH F G HH JH K L M N NG P R S SH T TH V W Y Z ZH"


@dataclass(frozen=True)
class Vocabulary:
    """Symbols by number; the blank of CTC is one of them."""

    symbols: tuple[str, ...] = field(repr=False)
    blank: int
    eos: int
    """Ends every target; left out of what is read back, wherever it stands."""
    unknown: int

    def __len__(self) -> int:
        return len(self.symbols)

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {symbol: number for number, symbol in enumerate(self.symbols)}

    def __contains__(self, symbol: str) -> bool:
        return symbol in self._numbers

    def target(self, symbols: Iterable[str]) -> tuple[int, ...]:
        """The numbers of some symbols, strangers as `unknown`, and then `eos`.

        Args:
            symbols: without specials.
        """
        return (*(self._numbers.get(symbol, self.unknown) for symbol in symbols), self.eos)

    def read(self, tokens: Sequence[int]) -> tuple[str, ...]:
        """The symbols of some numbers, without blank and eos."""
        silent = (self.blank, self.eos)
        return tuple(self.symbols[token] for token in tokens if token not in silent)


def _padded(symbols: Iterable[str]) -> Vocabulary:
    return Vocabulary(("<pad>", "<eos>", "<unk>", *symbols), blank=0, eos=1, unknown=2)


_STRESSED = [f"{vowel}{stress}" for vowel in _VOWELS.split() for stress in "012"]

PHONES = _padded(["SIL", "SPN", *sorted(_STRESSED + _CONSONANTS.split())])
"""PR: 71 phones, ARPABET with three stresses a vowel, silence and noise; the blank is `<pad>`. 74."""

CHARACTERS = Vocabulary(
    ("<s>", "<pad>", "</s>", "<unk>", *"|ETAONIHSRDLUMCWFGYPBVK'XJQZ"), blank=0, eos=2, unknown=3
)
"""ASR: fairseq's specials, then the most frequent first; the blank is `<s>`, `|` ends a word. 32."""

LETTERS = (" ", *"ABCDEFGHIJKLMNOPQRSTUVWXYZ", "'")
"""SF's characters: 28, the space among them."""


def slot_vocabulary(slots: Sequence[str]) -> Vocabulary:
    """SF: 28 characters, then a start and an end mark for each slot; the blank is `<pad>`."""
    return _padded([*LETTERS, *(f"{mark}-{slot}" for slot in slots for mark in "BE")])
