"""Proves the scores of slot filling: worked by hand, against a slow restatement in tokens, and their
texts against the spelling of marked sentences.
"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from avrep.evaluation.edits import num_edits
from avrep.evaluation.superb.slot_metrics import slot_type_f1, slot_value_counts, slot_values
from avrep.evaluation.superb.slot_text import slot_symbols, slot_text

WORDS = st.sampled_from(["PLAY", "THE", "O", "BLUES"])
SLOTS = st.sampled_from(["O", "artist", "album", "year"])
SENTENCES = st.lists(st.tuples(WORDS, SLOTS), min_size=1, max_size=7)

MEANT = "PLAY B-album HELLO E-album BY B-artist ADELE E-artist"


def text_of(sentence: list[tuple[str, str]]) -> str:
    return slot_text(slot_symbols([word for word, _ in sentence], [slot for _, slot in sentence]))


def runs_of(sentence: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Slot and value of each run of words with the same slot, word by word."""
    runs: list[tuple[str, str]] = []
    before = "O"
    for word, slot in sentence:
        if slot != "O" and slot == before:
            runs[-1] = (slot, f"{runs[-1][1]} {word}")
        elif slot != "O":
            runs.append((slot, word))
        before = slot
    return runs


@pytest.mark.parametrize(
    ("said", "f1", "edits"),
    [
        (MEANT, 1.0, 0),
        ("PLAY HELLO BY ADELE", 0.0, 10),
        # One slot of two: P 1, R 1/2; ADELE is lost whole.
        ("PLAY B-album HALLO E-album BY ADELE", 2 / 3, 1 + 5),
        # Two of three kinds are right: P 2/3, R 1. What only the hypothesis has costs no characters.
        (f"{MEANT} B-year NOW E-year", 0.8, 0),
        # The nearest value of the slot counts, in any order.
        ("B-artist X E-artist B-artist ADEL E-artist B-album HELLO E-album", 1.0, 1),
        # A start without its end is no slot.
        ("PLAY B-album HELLO BY B-artist ADELE E-artist", 2 / 3, 5),
        # Marks within a value are taken out of it.
        ("B-album HE B-year LLO E-album B-artist ADELE E-artist", 1.0, 1),
        ("", 0.0, 10),
    ],
)
def test_by_hand(said: str, f1: float, edits: int) -> None:
    np.testing.assert_allclose(slot_type_f1([said], [MEANT]), [f1])
    found, lengths = slot_value_counts([said], [MEANT])
    np.testing.assert_array_equal(found, [edits])
    np.testing.assert_array_equal(lengths, [10])


def test_no_slots() -> None:
    np.testing.assert_array_equal(slot_type_f1(["HI", MEANT], ["HI THERE", "HI"]), [1.0, 0.0])
    assert slot_value_counts(["HI"], ["HI"])[1].sum() == 0


@given(SENTENCES, SENTENCES)
def test_against_a_slow_restatement(
    said: list[tuple[str, str]], meant: list[tuple[str, str]]
) -> None:
    found, wanted = runs_of(said), runs_of(meant)
    kinds = {slot for slot, _ in found}, {slot for slot, _ in wanted}
    both = len(kinds[0] & kinds[1])
    if not kinds[0] and not kinds[1]:
        f1 = 1.0
    elif not both:
        f1 = 0.0
    else:
        precision, recall = both / len(kinds[0]), both / len(kinds[1])
        f1 = 2 * precision * recall / (precision + recall)
    edits = 0
    for slot, value in wanted:
        guesses = [guess for kind, guess in found if kind == slot]
        edits += min((num_edits(guess, value) for guess in guesses), default=len(value))
    texts = [text_of(said)], [text_of(meant)]
    np.testing.assert_allclose(slot_type_f1(*texts), [f1])
    np.testing.assert_array_equal(slot_value_counts(*texts)[0], [edits])


@given(SENTENCES)
def test_a_marked_sentence_is_read_back(sentence: list[tuple[str, str]]) -> None:
    values = slot_values(text_of(sentence), unmarked=False)
    assert sorted((slot, value) for slot in values for value in values[slot]) == sorted(
        runs_of(sentence)
    )


def test_spelling() -> None:
    words = ["PLAY", "A", "B", ",", "&", "C"]
    slots = ["O", "artist", "artist", "O", "album", "O"]
    symbols = slot_symbols(words, slots)
    assert symbols == (
        *"PLAY ", "B-artist", *"A B", "E-artist", " ", "B-album", *"AND", "E-album", *" C"
    )  # fmt: skip
    assert slot_text(symbols) == "PLAY B-artist A B E-artist B-album AND E-album C"
