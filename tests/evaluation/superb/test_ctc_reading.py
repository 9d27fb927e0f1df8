"""Proves vocabularies (sizes and places that other tools rely on) and greedy decoding: by hand, against
repeats taken together token by token, and that what is spelt with blanks between is read back.
"""

from itertools import groupby

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from avrep.evaluation.superb.greedy import greedy_tokens
from avrep.evaluation.superb.vocabulary import CHARACTERS, PHONES, slot_vocabulary


def scores_of(tokens: list[int], num_tokens: int = 5) -> torch.Tensor:
    return functional.one_hot(torch.tensor([tokens]), num_tokens).float()


def test_vocabularies() -> None:
    assert len(PHONES) == 74
    assert PHONES.symbols[:6] == ("<pad>", "<eos>", "<unk>", "SIL", "SPN", "AA0")
    assert PHONES.symbols[-1] == "ZH"
    assert len(CHARACTERS) == 32
    assert CHARACTERS.symbols[:6] == ("<s>", "<pad>", "</s>", "<unk>", "|", "E")
    assert CHARACTERS.symbols[-1] == "Z"
    slots = slot_vocabulary(("artist", "album"))
    assert len(slots) == 3 + 28 + 4
    assert slots.symbols[-4:] == ("B-artist", "E-artist", "B-album", "E-album")
    for vocabulary in (PHONES, CHARACTERS, slots):
        assert len(set(vocabulary.symbols)) == len(vocabulary)


def test_targets() -> None:
    assert PHONES.target(["SIL", "AA0"]) == (3, 5, 1)
    assert CHARACTERS.target("ET|") == (5, 6, 4, 2)
    assert CHARACTERS.target("E?") == (5, 3, 2)
    assert CHARACTERS.read((0, 5, 2, 3, 6)) == ("E", "<unk>", "T")


def test_greedy_by_hand() -> None:
    frames = [0, 3, 3, 0, 3, 2, 2, 1, 0, 0]
    assert greedy_tokens(scores_of(frames), torch.tensor([10]), 0) == [(3, 3, 2, 1)]
    # The blank is whichever it is, and frames of others do not count.
    assert greedy_tokens(scores_of(frames), torch.tensor([6]), 3) == [(0, 0, 2)]
    assert greedy_tokens(scores_of([0, 0]), torch.tensor([2]), 0) == [()]


@given(st.lists(st.integers(0, 4), min_size=1, max_size=30), st.integers(0, 4))
def test_greedy_against_groups(frames: list[int], blank: int) -> None:
    truth = tuple(token for token, _ in groupby(frames) if token != blank)
    assert greedy_tokens(scores_of(frames), torch.tensor([len(frames)]), blank) == [truth]


@given(st.lists(st.tuples(st.integers(1, 4), st.integers(1, 3)), min_size=1, max_size=9))
def test_what_is_spelt_with_blanks_between_is_read_back(spelt: list[tuple[int, int]]) -> None:
    frames = [frame for token, times in spelt for frame in [*[token] * times, 0]]
    found = greedy_tokens(scores_of(frames), torch.tensor([len(frames)]), 0)
    assert found == [tuple(token for token, _ in spelt)]
