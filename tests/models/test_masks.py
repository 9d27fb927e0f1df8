"""Proves the masks: exact counts, sorted and complementary places, the published figures, uniform
places, and V-JEPA's blocks against rectangles painted one by one.
"""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from avrep.models.masks import (
    LONG_RANGE,
    SHORT_RANGE,
    BlockMaskConfig,
    Mask,
    block_mask,
    block_size,
    cluster_mask,
    may_cover,
    num_seen,
    random_mask,
    stacked,
    stacked_unequal,
    take_places,
    truncated,
    tube_mask,
)

_PUBLISHED = (8, 14, 14)
_grids = st.tuples(st.integers(1, 6), st.integers(2, 9), st.integers(2, 9))
_ratios = st.floats(0.3, 0.7)
_seeds = st.integers(0, 2**32)


def _check_partition(mask: Mask, num_places: int) -> None:
    for part in (mask.kept, mask.masked):
        assert part.dtype == np.int64
        assert (np.diff(part) > 0).all()
        assert len(part) > 0
    assert sorted([*mask.kept, *mask.masked]) == [*range(num_places)]


@given(_grids, _ratios, _seeds)
@settings(max_examples=60, deadline=None)
def test_tubes_are_one_map_at_all_times(
    grid: tuple[int, int, int], ratio: float, seed: int
) -> None:
    t, h, w = grid
    mask = tube_mask(grid, ratio, np.random.default_rng(seed))
    _check_partition(mask, t * h * w)
    assert len(mask.masked) == t * math.floor(ratio * h * w + 1e-6)
    times, places = np.divmod(mask.masked, h * w)
    maps = {time: frozenset(places[times == time]) for time in range(t)}
    assert len(set(maps.values())) == 1
    again = tube_mask(grid, ratio, np.random.default_rng(seed))
    assert np.array_equal(again.masked, mask.masked)


@given(_grids, _ratios, _seeds)
@settings(max_examples=60, deadline=None)
def test_random_masks_count_over_space_and_time(
    grid: tuple[int, int, int], ratio: float, seed: int
) -> None:
    mask = random_mask(grid, ratio, np.random.default_rng(seed))
    _check_partition(mask, math.prod(grid))
    assert len(mask.kept) == math.floor((1 - ratio) * math.prod(grid) + 1e-6)


def test_published_counts() -> None:
    tubes = tube_mask(_PUBLISHED, 0.9, np.random.default_rng(0))
    assert (len(tubes.kept), len(tubes.masked)) == (8 * 20, 8 * 176)
    agnostic = random_mask(_PUBLISHED, 0.9, np.random.default_rng(0))
    assert (len(agnostic.kept), len(agnostic.masked)) == (156, 1412)
    # Where the product is a whole number, rounding of doubles does not take one off it.
    assert len(random_mask((1, 10, 16), 0.9, np.random.default_rng(0)).kept) == 16
    assert len(tube_mask((1, 10, 10), 0.29, np.random.default_rng(0)).masked) == 29


@pytest.mark.parametrize("draw", [tube_mask, random_mask])
def test_every_place_is_hidden_equally_often(draw: Callable[..., Mask]) -> None:
    counts = np.zeros(2 * 3 * 4)
    rng = np.random.default_rng(0)
    for _ in range(2000):
        counts[draw((2, 3, 4), 0.75, rng).masked] += 1
    spread = math.sqrt(2000 * 0.75 * 0.25)
    assert np.abs(counts - 1500).max() < 5 * spread


@pytest.mark.parametrize("draw", [tube_mask, random_mask])
@pytest.mark.parametrize("ratio", [1e-9, 1 - 1e-9])
def test_a_mask_that_hides_nothing_or_all_is_refused(
    draw: Callable[..., Mask], ratio: float
) -> None:
    with pytest.raises(ValueError, match="must hide some of the 8 places and show some"):
        draw((2, 2, 2), ratio, np.random.default_rng(0))


def test_block_sizes_have_v_jepa_s_area_and_aspect() -> None:
    rng = np.random.default_rng(0)
    for config, area in ((SHORT_RANGE, 29), (LONG_RANGE, 137)):
        sizes = {block_size(_PUBLISHED, config, rng) for _ in range(500)}
        # floor(0.15 * 196) and floor(0.7 * 196) places; aspects from 0.75 to 1.5.
        lows = round(math.sqrt(area * 0.75)), round(math.sqrt(area / 1.5))
        highs = min(round(math.sqrt(area * 1.5)), 14), min(round(math.sqrt(area / 0.75)), 14)
        assert {min(h for h, _ in sizes), max(h for h, _ in sizes)} == {lows[0], highs[0]}
        assert {min(w for _, w in sizes), max(w for _, w in sizes)} == {lows[1], highs[1]}


@given(
    st.tuples(st.integers(1, 4), st.integers(3, 9), st.integers(3, 9)),
    st.integers(1, 4),
    st.floats(0.05, 0.6),
    _seeds,
)
@settings(max_examples=60, deadline=None)
def test_what_blocks_cover_is_hidden_at_all_times(
    grid: tuple[int, int, int], num_blocks: int, scale: float, seed: int
) -> None:
    t, h, w = grid
    config = BlockMaskConfig(num_blocks=num_blocks, scale=scale)
    size = block_size(grid, config, np.random.default_rng(seed))
    if size == (h, w):
        return
    mask = block_mask(grid, size, num_blocks, np.random.default_rng(seed))
    _check_partition(mask, t * h * w)
    hidden = np.zeros((t, h, w), dtype=bool)
    hidden.ravel()[mask.masked] = True
    assert (hidden == hidden[:1]).all()
    assert size[0] * size[1] <= hidden[0].sum() <= num_blocks * size[0] * size[1]
    # Every hidden place lies in a whole hidden block.
    covered = np.zeros((h, w), dtype=bool)
    for top in range(h - size[0] + 1):
        for left in range(w - size[1] + 1):
            if hidden[0, top : top + size[0], left : left + size[1]].all():
                covered[top : top + size[0], left : left + size[1]] = True
    assert np.array_equal(covered, hidden[0])


def test_blocks_that_cover_all_together_are_drawn_again_and_alone_are_refused() -> None:
    # Two of 2 x 3 in 2 x 4 cover it all in half of the draws.
    for seed in range(20):
        mask = block_mask((1, 2, 4), (2, 3), 2, np.random.default_rng(seed))
        assert len(mask.kept) == 2
    with pytest.raises(ValueError, match="leave nothing of 3 x 3"):
        block_mask((2, 3, 3), (3, 3), 1, np.random.default_rng(0))


def test_published_blocks_hide_about_as_much_as_published() -> None:
    rng = np.random.default_rng(0)
    for config, low, high in ((SHORT_RANGE, 0.6, 0.85), (LONG_RANGE, 0.75, 0.95)):
        shares = []
        for _ in range(300):
            size = block_size(_PUBLISHED, config, rng)
            mask = block_mask(_PUBLISHED, size, config.num_blocks, rng)
            shares.append(len(mask.masked) / 1568)
        assert low < np.mean(shares) < high


def test_masks_are_cut_to_the_shortest_and_stacked() -> None:
    masks = [
        Mask(kept=np.array([0, 2, 5]), masked=np.array([1, 3, 4])),
        Mask(kept=np.array([1, 4]), masked=np.array([0, 2, 3, 5])),
    ]
    with pytest.raises(ValueError, match="equally many places"):
        stacked(masks, torch.device("cpu"))
    kept, masked = stacked(truncated(masks, torch.device("cpu")), torch.device("cpu"))
    assert kept.tolist() == [[0, 2], [1, 4]]
    assert masked.tolist() == [[1, 3, 4], [0, 2, 3]]
    assert kept.dtype == masked.dtype == torch.int64


def test_each_clip_takes_its_own_places() -> None:
    rows = torch.arange(24.0).reshape(2, 4, 3)
    taken = take_places(rows, torch.tensor([[3, 0], [1, 1]]))
    assert taken.tolist() == [[[9, 10, 11], [0, 1, 2]], [[15, 16, 17], [15, 16, 17]]]
    for wrong in (torch.tensor([0, 1]), torch.zeros(3, 1, dtype=torch.int64), torch.zeros(2, 2)):
        with pytest.raises(ValueError, match=r"int64\[2 k\]; got"):
            take_places(rows, wrong)


@pytest.mark.parametrize(("scale", "covers"), [(0.7, False), (0.9, False), (0.95, True), (1, True)])
def test_blocks_that_may_cover_a_frame_are_told(scale: float, covers: bool) -> None:
    config = BlockMaskConfig(num_blocks=1, scale=scale)
    assert may_cover((2, 14, 14), config) == covers
    rng = np.random.default_rng(0)
    sizes = {block_size((2, 14, 14), config, rng) for _ in range(5000)}
    assert ((14, 14) in sizes) == covers


@given(st.integers(2, 12), st.integers(2, 9), _ratios, _seeds)
@settings(max_examples=60, deadline=None)
def test_clusters_are_squares_painted_one_by_one(t: int, f: int, ratio: float, seed: int) -> None:
    mask = cluster_mask((t, f, 1), ratio, (2, 3), np.random.default_rng(seed))
    _check_partition(mask, t * f)
    assert len(mask.kept) == num_seen(t * f, ratio)
    draws = np.random.default_rng(seed)
    side, order = draws.integers(2, 4), []
    while len(order) < len(mask.masked):
        time, band = draws.integers(0, (t, f))
        for row in range(time, min(time + side, t)):
            for column in range(band, min(band + side, f)):
                if row * f + column not in order:
                    order.append(row * f + column)
    assert sorted(order[: len(mask.masked)]) == mask.masked.tolist()


def test_clusters_hide_as_many_as_published_anywhere() -> None:
    counts = np.zeros(512)
    for seed in range(300):
        mask = cluster_mask((64, 8, 1), 0.78125, (3, 5), np.random.default_rng(seed))
        assert len(mask.masked) == 400
        counts[mask.masked] += 1
    # The first and the last place too, though squares reach them seldom.
    assert counts.min() > 0
    assert counts.max() < 300


def test_rows_of_unequal_length_end_in_minus_one() -> None:
    masks = [
        Mask(kept=np.array([0, 2]), masked=np.array([1])),
        Mask(kept=np.array([1]), masked=np.array([0, 2, 3])),
    ]
    kept, masked = stacked_unequal(masks)
    assert kept.tolist() == [[0, 2], [1, -1]]
    assert masked.tolist() == [[1, -1, -1], [0, 2, 3]]
    assert kept.dtype == masked.dtype == torch.int64
