"""Proves the edit distance: against its textbook table, the laws of a metric and jiwer; and that rates
are sums over sums.
"""

import jiwer
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from avrep.evaluation.edits import edit_counts, num_edits

TOKENS = st.lists(st.integers(0, 3), max_size=12)
WORDS = st.lists(st.sampled_from(["a", "b", "ab", "ba", "abba"]), min_size=1, max_size=9)


def table_distance(hypothesis: list[int], reference: list[int]) -> int:
    """Wagner and Fischer's table, cell by cell."""
    row = list(range(len(reference) + 1))
    for i, said in enumerate(hypothesis, start=1):
        above, row = row, [i]
        for j, meant in enumerate(reference, start=1):
            row.append(min(above[j] + 1, row[j - 1] + 1, above[j - 1] + (said != meant)))
    return row[-1]


@pytest.mark.parametrize(
    ("hypothesis", "reference", "distance"),
    [
        ("kitten", "sitting", 3),
        ("", "abc", 3),
        ("abc", "", 3),
        ("", "", 0),
        ("abc", "abc", 0),
        ("bc", "abcd", 2),
        ("flaw", "lawn", 2),
        ("ab", "ba", 2),
    ],
)
def test_by_hand(hypothesis: str, reference: str, distance: int) -> None:
    assert num_edits(hypothesis, reference) == distance


@given(TOKENS, TOKENS)
def test_against_the_table(hypothesis: list[int], reference: list[int]) -> None:
    assert num_edits(hypothesis, reference) == table_distance(hypothesis, reference)


def test_against_the_table_over_a_machine_word() -> None:
    rng = np.random.default_rng(0)
    for length in (63, 64, 65, 130):
        reference = rng.integers(0, 4, length).tolist()
        hypothesis = rng.integers(0, 4, length + 7).tolist()
        assert num_edits(hypothesis, reference) == table_distance(hypothesis, reference)


@given(TOKENS, TOKENS, TOKENS)
def test_it_is_a_metric(a: list[int], b: list[int], c: list[int]) -> None:
    assert (num_edits(a, b) == 0) == (a == b)
    assert num_edits(a, b) == num_edits(b, a)
    assert num_edits(a, c) <= num_edits(a, b) + num_edits(b, c)
    assert abs(len(a) - len(b)) <= num_edits(a, b) <= max(len(a), len(b))


@given(st.lists(st.tuples(WORDS, WORDS), min_size=1, max_size=5))
def test_rates_against_jiwer(pairs: list[tuple[list[str], list[str]]]) -> None:
    said, meant = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    texts = [" ".join(words) for words in said], [" ".join(words) for words in meant]
    edits, lengths = edit_counts(said, meant)
    assert edits.sum() / lengths.sum() == pytest.approx(jiwer.wer(texts[1], texts[0]))
    edits, lengths = edit_counts(*texts)
    assert edits.sum() / lengths.sum() == pytest.approx(jiwer.cer(texts[1], texts[0]))


def test_counts_are_of_each_utterance() -> None:
    edits, lengths = edit_counts(["ab", ""], ["abc", "xy"])
    np.testing.assert_array_equal(edits, [1, 2])
    np.testing.assert_array_equal(lengths, [3, 2])
    with pytest.raises(ValueError, match="argument"):
        edit_counts(["a"], ["a", "b"])
