"""The plan: each item once an epoch, the same steps for any number of ranks."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avrep.errors import ConfigError
from avrep.pipeline.plan import (
    Plan,
    Sweep,
    addresses,
    block_rows,
    is_substitute,
    substitute,
    visits,
)
from avrep.pipeline.shuffle import ShuffleConfig
from avrep.types import Address


def make_plan(num_rows: int, batch: int, seed: int = 0, draws: int = 1) -> Plan:
    return Plan(
        seed=seed,
        rows=np.arange(num_rows) * 3 + 1,
        global_batch=batch,
        draws_per_visit=draws,
        shuffle=ShuffleConfig(block_items=4, window_blocks=3),
    )


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
    with pytest.raises(ConfigError, match="between 1 and 20, the number of usable items"):
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


@given(num_rows=st.integers(4, 60), draws=st.integers(1, 4), epoch=st.integers(0, 3))
@settings(max_examples=50, deadline=None)
def test_a_visit_makes_all_draws_of_its_item(num_rows: int, draws: int, epoch: int) -> None:
    plan = make_plan(num_rows, batch=2 * draws, draws=draws)
    first = epoch * plan.steps_per_epoch
    made = [a for s in range(first, first + plan.steps_per_epoch) for a in addresses(plan, s)]
    assert len(made) == len(set(made)) == num_rows // 2 * 2 * draws
    for i in range(0, len(made), draws):
        assert {a.item for a in made[i : i + draws]} == {made[i].item}
        assert [a.draw for a in made[i : i + draws]] == list(range(draws))


def test_draws_must_fill_batches_and_ranks() -> None:
    with pytest.raises(ConfigError, match=r"8 is not a multiple of data\.draws_per_visit=3"):
        make_plan(20, 8, draws=3)
    with pytest.raises(ConfigError, match=r"a multiple of 4 times data\.draws_per_visit"):
        addresses(make_plan(20, 12, draws=2), 0, 0, 4)


def test_visits_of_a_step_stand_in_the_order_of_their_blocks() -> None:
    plan = make_plan(200, 24)
    for step in range(2 * plan.steps_per_epoch):
        planned = visits(plan, step)
        blocks = [visit.block for visit in planned if visit.block is not None]
        assert blocks == sorted(blocks)
        assert len(blocks) == 24
        for visit in planned:
            assert visit.block is not None
            assert visit.address.item in block_rows(plan, visit.address.epoch, visit.block)


def test_substitutes_of_unlike_attempts_and_draws_never_share_an_address() -> None:
    plan, planned = make_plan(50, 6, draws=3), Address(2, 31)
    assert substitute(plan, planned, 0) == planned
    firsts = [substitute(plan, planned, attempt) for attempt in range(16)]
    numbers = [a.draw + d for a in firsts for d in range(3)]
    assert len(set(numbers)) == 48
    others = {substitute(plan, Address(2, 34), attempt) for attempt in range(16)}
    assert not others & set(firsts)
    assert [is_substitute(address) for address in firsts] == [False] + [True] * 15
