"""Sentences with marks around the values of their slots: `PLAY B-artist THE BEATLES E-artist`."""

from collections.abc import Sequence
from itertools import groupby

_LEFT_OUT = frozenset({"", *"?!.,;-"})


def slot_symbols(words: Sequence[str], slots: Sequence[str]) -> tuple[str, ...]:
    """What a head spells for a sentence: characters, spaces, and a start and an end mark a value.

    Neighbouring words of one slot are one value. Words that are a sign are left out and `&` is AND, as
    in the public toolkit (whose marks differ beside such a sign; in Audio SNIPS as SUPERB prepares it
    there is none).

    Args:
        words: of the sentence.
        slots: of each word, "O" for none.
    """
    kept = [
        (slot, "AND" if word == "&" else word)
        for word, slot in zip(words, slots, strict=True)
        if word not in _LEFT_OUT
    ]
    symbols: list[str] = []
    for slot, run in groupby(kept, key=lambda pair: pair[0]):
        value = " ".join(word for _, word in run)
        marked = [*value] if slot == "O" else [f"B-{slot}", *value, f"E-{slot}"]
        symbols += [" ", *marked] if symbols else marked
    return tuple(symbols)


def slot_text(symbols: Sequence[str]) -> str:
    """Symbols as a text: a space after each start mark and before each end mark."""
    return "".join(map(_written, symbols))


def _written(symbol: str) -> str:
    if symbol.startswith("B-"):
        return f"{symbol} "
    return f" {symbol}" if symbol.startswith("E-") else symbol
