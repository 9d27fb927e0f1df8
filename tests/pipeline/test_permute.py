"""A permutation computed one place at a time is one, whatever its size and name."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from avrep.pipeline.permute import permute
from avrep.types import Address


@given(size=st.integers(1, 700), seed=st.integers(0, 2**63), epoch=st.integers(0, 10**6))
@settings(max_examples=60, deadline=None)
def test_every_place_is_taken_once(size: int, seed: int, epoch: int) -> None:
    order = permute(np.arange(size), size, seed, Address(epoch, 0))
    assert sorted(order) == list(range(size))


@given(size=st.integers(2, 10**12), position=st.integers(0, 10**12), seed=st.integers(0, 9))
@settings(deadline=None)
def test_one_position_alone_equals_it_among_others(size: int, position: int, seed: int) -> None:
    position %= size
    name = Address(4, 0)
    among = permute(np.array([position, 0, size - 1]), size, seed, name)[0]
    alone = permute(np.array([position]), size, seed, name)[0]
    assert among == alone
    assert 0 <= alone < size


def test_names_and_seeds_order_differently() -> None:
    names = [Address(0, 0), Address(1, 0), Address(0, 1), Address(0, 0, 1)]
    orders = {tuple(permute(np.arange(100), 100, seed, n)) for seed in (0, 1) for n in names}
    assert len(orders) == 8


def test_first_place_is_spread_evenly() -> None:
    """Chi-square of which of 20 comes first, over 4,000 names: 19 degrees of freedom."""
    place = np.zeros(1, np.int64)
    firsts = [int(permute(place, 20, 7, Address(epoch, 0))[0]) for epoch in range(4000)]
    counts = np.bincount(firsts, minlength=20)
    chi_square = float(((counts - 200) ** 2 / 200).sum())
    assert chi_square < 43.8  # the 0.1 % point
