"""Proves that parts of a step cover it, are about equal, and keep to their blocks."""

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from avrep.pipeline.plan import Plan, Sweep, visits
from avrep.pipeline.share import cuts
from avrep.pipeline.shuffle import ShuffleConfig


@given(
    num_items=st.integers(64, 5000),
    shuffle=st.builds(
        ShuffleConfig, block_items=st.integers(1, 20), window_blocks=st.integers(1, 300)
    ),
    world_size=st.sampled_from([1, 2, 4]),
    num_parts=st.integers(1, 9),
    step=st.integers(0, 200),
)
def test_parts_cover_a_step_and_are_about_equal(
    num_items: int, shuffle: ShuffleConfig, world_size: int, num_parts: int, step: int
) -> None:
    plan = Plan(seed=3, rows=np.arange(num_items), global_batch=64, shuffle=shuffle)
    for rank in range(world_size):
        planned = visits(plan, step, rank, world_size)
        places = cuts(plan, planned, num_parts, rank, world_size)
        assert places[0] == 0
        assert places[-1] == len(planned)
        assert len(places) == num_parts + 1
        even = len(planned) / num_parts
        for first, last in pairwise(places):
            # A quarter at each end, and the rounding of both.
            assert even / 2 - 1 <= last - first <= even * 1.5 + 1


def test_a_block_is_read_by_one_where_steps_are_large() -> None:
    """4,096 items are four windows of 1,024, of which 256 a step share 64-block quarters."""
    shuffle = ShuffleConfig(block_items=4, window_blocks=256)
    plan = Plan(seed=3, rows=np.arange(4096), global_batch=256, shuffle=shuffle)
    readers: dict[int, set[int]] = {}
    for step in range(plan.steps_per_epoch):
        planned = visits(plan, step)
        for reader, (first, last) in enumerate(pairwise(cuts(plan, planned, 4))):
            for visit in planned[first:last]:
                assert visit.block is not None
                readers.setdefault(visit.block, set()).add(reader)
    assert len(readers) == 1024
    # Cut into equal parts, nearly one block in five has two readers.
    assert sum(len(found) > 1 for found in readers.values()) <= 16


def test_the_last_window_of_an_epoch_is_shared_by_all() -> None:
    """1,280 items of blocks of 4 are a window of 256 blocks and one of 64."""
    shuffle = ShuffleConfig(block_items=4, window_blocks=256)
    plan = Plan(seed=3, rows=np.arange(1280), global_batch=256, shuffle=shuffle)
    planned = visits(plan, 4)
    assert {visit.block // 256 for visit in planned if visit.block is not None} == {1}
    assert cuts(plan, planned, 2) == [0, 128, 256]


def test_a_sweep_is_cut_evenly() -> None:
    plan = Sweep(seed=0, rows=np.arange(30), batch_size=10)
    assert cuts(plan, visits(plan, 0), 3) == [0, 3, 7, 10]
    assert cuts(plan, visits(plan, 0)[:2], 1) == [0, 2]
    assert cuts(plan, (), 1) == [0, 0]
