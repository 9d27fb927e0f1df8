"""Proves the batches of PR, ASR and SF: by hand, and by what holds of any lengths: neighbours in the
order of lengths, halved where they should be, each place once an epoch, a function of the number alone.
"""

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from avrep.evaluation.sound.head import BatchPlan
from avrep.evaluation.superb.bucket_plans import TOO_LONG_SAMPLES, by_samples, by_tokens

LENGTHS = st.lists(st.integers(1, 9), min_size=2, max_size=30)


def epoch(plan: BatchPlan, num: int, first: int = 0) -> list[tuple[int, ...]]:
    return [plan(number) for number in range(first, first + num)]


def test_by_tokens_by_hand() -> None:
    # In order of tokens: 1 3 0 2 4. Batches of two begin at each place; the last is moved up.
    plan = by_tokens([5, 9, 5, 7, 1], [1] * 5, 2, seed=0)
    assert sorted(epoch(plan, 5)) == sorted([(1, 3), (3, 0), (0, 2), (2, 4), (2, 4)])
    # Utterance 3 is long: what begins with it is half as large.
    plan = by_tokens([5, 9, 5, 7, 1], [1, 1, 1, TOO_LONG_SAMPLES + 1, 1], 2, seed=0)
    assert sorted(epoch(plan, 5)) == sorted([(1, 3), (3,), (0, 2), (2, 4), (2, 4)])


def test_by_samples_by_hand() -> None:
    lengths = [3000, 9000, 5000, 100, 7000, 200, 50, 4000, 20]
    plan = by_samples(lengths, 4, seed=0)
    # 1 4 2 7 | 0 5 3 6 | 8: two full batches, both halved for their first, and one left over.
    assert sorted(epoch(plan, 4)) == sorted([(1, 4), (2, 7), (0, 5), (3, 6)])
    # Without speech longer than the bound nothing is halved; two left over are a batch.
    plan = by_samples([9, 8, 7, 6, 5, 4], 4, seed=0)
    assert sorted(epoch(plan, 2)) == [(0, 1, 2, 3), (4, 5)]
    with pytest.raises(ValueError, match="no batch"):
        by_samples([5000], 2, seed=0)


@given(LENGTHS, st.integers(1, 8), st.integers(0, 9))
def test_by_tokens_any(num_tokens: list[int], batch_size: int, seed: int) -> None:
    num = len(num_tokens)
    plan = by_tokens(num_tokens, [TOO_LONG_SAMPLES] * num, batch_size, seed)
    order = np.argsort(-np.array(num_tokens), kind="stable").tolist()
    windows = [order[i : i + batch_size] for i in range(max(1, num - batch_size + 1))]
    windows += [windows[-1]] * (num - len(windows))
    for first in (0, num):
        found = Counter(epoch(plan, num, first))
        assert found == Counter(tuple(window) for window in windows)
    assert plan(num + 1) == by_tokens(num_tokens, [0] * num, batch_size, seed)(num + 1)


@given(LENGTHS, st.integers(2, 8), st.integers(0, 9))
def test_by_samples_any(seconds: list[int], batch_size: int, seed: int) -> None:
    lengths = [16_000 * each for each in seconds]
    plan = by_samples(lengths, batch_size, seed)
    num_full, rest = divmod(len(lengths), batch_size)
    num_batches = 2 * num_full + (rest > 1)
    if num_batches == 0:
        return
    for first in (0, num_batches):
        batches = epoch(plan, num_batches, first)
        heard = Counter(number for batch in batches for number in batch)
        left_out = set(range(len(lengths))) - heard.keys()
        assert set(heard.values()) == {1}
        assert len(left_out) == (rest == 1)
        spans = sorted(
            (max(each), min(each)) for each in ([lengths[n] for n in b] for b in batches)
        )
        assert all(high <= low for (high, _), (_, low) in pairwise(spans))
    assert plan(num_batches + 1) == by_samples(lengths, batch_size, seed)(num_batches + 1)


def test_librispeech_has_1783_batches() -> None:
    lengths = np.random.default_rng(0).integers(22_000, 390_000, 28_539).tolist()
    batches = epoch(by_samples(lengths, 32, seed=0), 1783)
    assert Counter(len(batch) for batch in batches) == {16: 1782, 27: 1}
