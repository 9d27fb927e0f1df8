"""Proves SpecAugment: the warp against cubic interpolation written out, masks by hand, the bounds of what
is drawn, and that all of it is a function of the generator.
"""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from avrep.evaluation.superb.spec_augment import (
    SpecAugmentConfig,
    SpecAugmentDraw,
    draw_spec_augment,
    spec_augment,
)


def draw(num_frames: int, width: int, seed: int = 0) -> SpecAugmentDraw:
    return draw_spec_augment(num_frames, width, SpecAugmentConfig(), np.random.default_rng(seed))


def cubic(frames: np.ndarray, num_frames: int) -> np.ndarray:
    """Keys's kernel with a = -0.75, edges repeated, centres of frames aligned."""
    found = np.zeros((num_frames, frames.shape[1]))
    for row in range(num_frames):
        place = (row + 0.5) * len(frames) / num_frames - 0.5
        base = int(np.floor(place))
        for tap in range(base - 1, base + 3):
            x = abs(place - tap)
            weight = (
                1.25 * x**3 - 2.25 * x**2 + 1 if x <= 1 else -0.75 * (x**3 - 5 * x**2 + 8 * x - 4)
            )
            found[row] += weight * frames[min(max(tap, 0), len(frames) - 1)]
    return found


def test_warp_against_cubic_interpolation() -> None:
    features = torch.randn(20, 3, generator=torch.Generator().manual_seed(0))
    warped = spec_augment(features, SpecAugmentDraw(warp=(8, 11), time_masks=(), feature_masks=()))
    frames = features.double().numpy()
    truth = np.concatenate([cubic(frames[:8], 11), cubic(frames[8:], 9)])
    np.testing.assert_allclose(warped.numpy(), truth, atol=1e-5)


def test_masks_by_hand() -> None:
    found = spec_augment(
        torch.ones(4, 5, requires_grad=True),
        SpecAugmentDraw(warp=None, time_masks=((1, 2), (3, 3)), feature_masks=((0, 1), (3, 5))),
    )
    assert found.tolist() == [[0, 1, 1, 0, 0], [0, 0, 0, 0, 0], [0, 1, 1, 0, 0], [0, 1, 1, 0, 0]]


@given(st.integers(1, 300), st.integers(1, 800), st.integers(0, 2**32))
def test_draws(num_frames: int, width: int, seed: int) -> None:
    found = draw(num_frames, width, seed)
    assert found == draw(num_frames, width, seed)
    if num_frames <= 10:
        assert found.warp is None
    else:
        assert found.warp is not None
        centre, moved = found.warp
        assert 5 <= centre < num_frames - 5
        assert -4 <= moved - centre <= 5
    assert (len(found.time_masks), len(found.feature_masks)) == (2, 4)
    for masks, length, bound in (
        (found.time_masks, num_frames, 40),
        (found.feature_masks, width, 50),
    ):
        assert all(0 <= first <= end <= length and end - first < bound for first, end in masks)
    augmented = spec_augment(torch.ones(num_frames, min(width, 4)), found)
    assert augmented.shape == (num_frames, min(width, 4))


def test_draws_reach_their_bounds() -> None:
    draws = [draw(100, 100, seed) for seed in range(400)]
    time = {end - first for each in draws for first, end in each.time_masks}
    features = {end - first for each in draws for first, end in each.feature_masks}
    moves = {each.warp[1] - each.warp[0] for each in draws if each.warp}
    assert (min(time), max(time), min(features), max(features)) == (0, 39, 0, 49)
    assert moves == set(range(-4, 6))
