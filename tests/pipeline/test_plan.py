"""The plan: a permutation each epoch, the same for any number of ranks, reached in constant time."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avrep.errors import ConfigError
from avrep.pipeline.plan import Plan, Sweep, addresses, permute, substitute
from avrep.types import Address


def make_plan(num_rows: int, batch: int, seed: int = 0) -> Plan:
    return Plan(seed=seed, rows=np.arange(num_rows) * 3 + 1, global_batch=batch)


@given(size=st.integers(1, 700), seed=st.integers(0, 2**63), epoch=st.integers(0, 10**6))
@settings(max_examples=60, deadline=None)
def test_every_epoch_is_a_permutation(size: int, seed: int, epoch: int) -> None:
    order = permute(np.arange(size), size, seed, epoch)
    assert sorted(order) == list(range(size))


@given(size=st.integers(2, 10**12), position=st.integers(0, 10**12), seed=st.integers(0, 9))
@settings(deadline=None)
def test_one_position_alone_equals_it_among_others(size: int, position: int, seed: int) -> None:
    position %= size
    neighbours = np.array([position, 0, size - 1])
    assert permute(neighbours, size, seed, 4)[0] == permute(neighbours[:1], size, seed, 4)[0]
    assert 0 <= permute(neighbours[:1], size, seed, 4)[0] < size


def test_epochs_and_seeds_order_differently() -> None:
    orders = [
        tuple(permute(np.arange(100), 100, seed, epoch)) for seed in (0, 1) for epoch in (0, 1)
    ]
    assert len(set(orders)) == 4


def test_first_place_is_spread_evenly_over_items() -> None:
    """Chi-square of which of 20 items comes first, over 4,000 epochs: 19 degrees of freedom."""
    firsts = [int(permute(np.zeros(1, np.int64), 20, 7, epoch)[0]) for epoch in range(4000)]
    counts = np.bincount(firsts, minlength=20)
    chi_square = float(((counts - 200) ** 2 / 200).sum())
    assert chi_square < 43.8  # the 0.1 % point


@given(num_rows=st.integers(4, 60), batch=st.sampled_from([1, 2, 4]), steps=st.integers(1, 40))
@settings(max_examples=50, deadline=None)
def test_no_item_repeats_within_an_epoch(num_rows: int, batch: int, steps: int) -> None:
    plan = make_plan(num_rows, batch)
    seen: dict[int, list[int]] = {}
    for step in range(steps):
        for address in addresses(plan, step):
            assert address.epoch == step // plan.steps_per_epoch
            assert address.item in plan.rows
            seen.setdefault(address.epoch, []).append(address.item)
    for items in seen.values():
        assert len(items) == len(set(items))
    assert len(seen[0]) == min(steps, plan.steps_per_epoch) * batch


@pytest.mark.parametrize("world_size", [1, 2, 4])
def test_ranks_share_the_same_global_batch(world_size: int) -> None:
    plan = make_plan(37, 8)
    for step in (0, 3, 4, 1_000_003):
        parts = [addresses(plan, step, rank, world_size) for rank in range(world_size)]
        assert sum(parts, ()) == addresses(plan, step)


def test_ranks_that_do_not_divide_the_batch_are_refused() -> None:
    with pytest.raises(ConfigError, match="does not divide among 3 ranks"):
        addresses(make_plan(20, 8), 0, 0, 3)


@pytest.mark.parametrize("batch", [0, 21])
def test_a_batch_larger_than_the_corpus_is_refused(batch: int) -> None:
    with pytest.raises(ConfigError, match="between 1 and the number of usable items, 20"):
        make_plan(20, batch)


def test_a_substitute_is_a_function_of_the_address() -> None:
    plan, planned = make_plan(50, 5), Address(2, 31)
    first, again = substitute(plan, planned, 1), substitute(plan, planned, 1)
    assert first == again
    assert first.item in plan.rows
    assert first.draw != planned.draw
    assert len({substitute(plan, planned, k).item for k in range(1, 12)}) > 3


def test_a_sweep_visits_every_row_once_in_order() -> None:
    sweep = Sweep(seed=0, rows=np.array([5, 2, 9, 4, 7]), batch_size=2)
    visited = [a.item for step in range(sweep.num_steps) for a in addresses(sweep, step)]
    assert visited == [5, 2, 9, 4, 7]
