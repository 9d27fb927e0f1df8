"""Addressed generators: the same coordinates give the same numbers, any other gives others."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from avrep.rng import Stage, at, device_seed
from avrep.types import Address

coordinates = st.tuples(
    st.integers(0, 2**64 - 1),
    st.sampled_from(Stage),
    st.builds(Address, st.integers(0, 2**40), st.integers(0, 2**40), st.integers(0, 2**30)),
    st.integers(0, 2**31),
)


@given(coordinates, coordinates)
@settings(max_examples=200, deadline=None)
def test_streams_are_equal_exactly_when_coordinates_are(
    a: tuple[int, Stage, Address, int], b: tuple[int, Stage, Address, int]
) -> None:
    first, again, other = (at(*c).integers(0, 2**63, size=4).tolist() for c in (a, a, b))
    assert first == again
    assert (first == other) == (a == b)


def test_neighbouring_coordinates_do_not_collide_as_sums_do() -> None:
    """(seed 0, item 1) and (seed 1, item 0) are one stream where seeds are added up."""
    draws = {
        (seed, item, epoch, draw, lane): at(
            seed, Stage.SAMPLE, Address(epoch, item, draw), lane
        ).integers(0, 2**63)
        for seed in (0, 1)
        for item in (0, 1)
        for epoch in (0, 1)
        for draw in (0, 1)
        for lane in (0, 1)
    }
    assert len(set(draws.values())) == len(draws) == 32


def test_streams_of_neighbouring_items_are_not_correlated() -> None:
    drawn = np.stack([at(0, Stage.AUGMENT, Address(0, item)).random(2000) for item in range(20)])
    correlations = np.asarray(np.corrcoef(drawn))[~np.eye(20, dtype=bool)]
    # 190 pairs, standard deviation 1 / sqrt(2000): five of them are 0.112.
    assert np.abs(correlations).max() < 0.112


def test_a_long_draw_does_not_run_into_the_next_item() -> None:
    """The counter's low word counts blocks, so 2**64 blocks lie between two addresses."""
    long = at(3, Stage.SAMPLE, Address(0, 0)).integers(0, 2**63, size=100_000)
    neighbour = at(3, Stage.SAMPLE, Address(0, 0, draw=1)).integers(0, 2**63, size=100)
    assert not set(neighbour.tolist()) & set(long.tolist())


def test_device_seeds_differ_by_step_and_rank() -> None:
    seeds = {device_seed(5, Stage.OBJECTIVE, step, rank) for step in range(50) for rank in range(4)}
    assert len(seeds) == 200
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_philox_is_numpys() -> None:
    """The mapping of coordinates to key and counter is part of every run's meaning: keep it."""
    philox = np.random.Philox(counter=[0, 7, 11, 13], key=[5, (2 << 32) | 3])
    expected = np.random.Generator(philox).random(3)
    assert at(5, Stage.SAMPLE, Address(13, 11, 7), lane=3).random(3).tolist() == expected.tolist()
