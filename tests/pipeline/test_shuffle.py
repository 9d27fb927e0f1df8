"""An epoch's order: each item once, blocks of neighbours together in one window, found at once."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avrep.pipeline.shuffle import ShuffleConfig, block_items, order

configs = st.builds(ShuffleConfig, block_items=st.integers(1, 9), window_blocks=st.integers(1, 7))


@given(size=st.integers(1, 400), config=configs, seed=st.integers(0, 99), epoch=st.integers(0, 9))
@settings(max_examples=120, deadline=None)
def test_every_item_comes_once(size: int, config: ShuffleConfig, seed: int, epoch: int) -> None:
    items, blocks = order(np.arange(size), size, config, seed, epoch)
    assert sorted(items) == list(range(size))
    assert set(blocks) == set(range(-(-size // config.block_items)))


@given(size=st.integers(1, 400), config=configs, seed=st.integers(0, 99), epoch=st.integers(0, 9))
@settings(max_examples=120, deadline=None)
def test_a_block_is_neighbours_and_lies_in_one_window(
    size: int, config: ShuffleConfig, seed: int, epoch: int
) -> None:
    items, blocks = order(np.arange(size), size, config, seed, epoch)
    for block in set(blocks.tolist()):
        stored = block_items(block, size, config, seed, epoch)
        assert set(stored) == set(items[blocks == block])
        assert ((np.diff(stored) == 1) | (np.diff(stored) == 1 - size)).all()
        places = np.flatnonzero(blocks == block)
        per_window = config.block_items * config.window_blocks
        assert set(places // per_window) == {block // config.window_blocks}


@given(
    size=st.integers(1, 10**11),
    place=st.integers(0, 10**11),
    config=st.builds(
        ShuffleConfig, block_items=st.integers(1, 999), window_blocks=st.integers(1, 9999)
    ),
)
@settings(deadline=None)
def test_any_place_of_any_size_is_found_alone(size: int, place: int, config: ShuffleConfig) -> None:
    places = np.array([place % size, 0, size - 1])
    together, alone = (order(p, size, config, 1, 2) for p in (places, places[:1]))
    assert together.items[0] == alone.items[0]
    assert together.blocks[0] == alone.blocks[0]
    assert int(alone.items[0]) in block_items(int(alone.blocks[0]), size, config, 1, 2)


def test_a_corpus_of_one_window_is_permuted_as_a_whole() -> None:
    """Where the first of 24 items goes, over 2,400 epochs: chi-square, 23 degrees of freedom."""
    config = ShuffleConfig(block_items=4, window_blocks=8)
    places = np.arange(24)
    went = [
        int(np.flatnonzero(order(places, 24, config, 5, epoch).items == 0)[0])
        for epoch in range(2400)
    ]
    counts = np.bincount(went, minlength=24)
    assert float(((counts - 100) ** 2 / 100).sum()) < 49.7  # the 0.1 % point


def test_neighbours_of_a_block_change_with_the_epoch() -> None:
    """Items 3 and 4 share a block of 4 in about three epochs of four."""
    config = ShuffleConfig(block_items=4, window_blocks=2)
    shared = 0
    for epoch in range(1000):
        items, blocks = order(np.arange(40), 40, config, 0, epoch)
        shared += int(blocks[items == 3][0] == blocks[items == 4][0])
    assert shared / 1000 == pytest.approx(0.75, abs=0.05)


def test_the_items_left_over_by_blocks_differ_from_epoch_to_epoch() -> None:
    config = ShuffleConfig(block_items=4, window_blocks=1)
    last = {int(order(np.array([9]), 10, config, 0, epoch).items[0]) for epoch in range(200)}
    assert last == set(range(10))
