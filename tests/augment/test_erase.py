"""Proves random erasing: rectangles as the released code draws them, noise that is a standard normal,
new in each frame, and the same of one seed.
"""

import math
import random

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from scipy import stats

from avrep.augment.erase import NOTHING, EraseConfig, draw_erased, erase_

ALWAYS = EraseConfig(probability=1.0)
SIDE_PX = 224


def many(config: EraseConfig, draws: int = 4000, side_px: int = SIDE_PX) -> np.ndarray:
    rngs = np.random.default_rng(0).spawn(draws)
    return np.array([draw_erased(config, side_px, rng)[0] for rng in rngs])


def restated_box(rng: random.Random) -> tuple[int, int, int, int]:
    """One of mode "cube", in other words and with another generator."""
    while True:
        area = rng.uniform(0.02, 1 / 3) * SIDE_PX * SIDE_PX
        aspect = math.exp(rng.uniform(math.log(0.3), math.log(1 / 0.3)))
        height, width = round((area * aspect) ** 0.5), round((area / aspect) ** 0.5)
        if max(height, width) < SIDE_PX:
            return (
                rng.randint(0, SIDE_PX - height),
                rng.randint(0, SIDE_PX - width),
                height,
                width,
            )


def test_a_quarter_of_all_clips_loses_something() -> None:
    boxes = many(EraseConfig())
    num_erased = int(boxes.any(axis=1).sum())
    assert stats.binomtest(num_erased, 4000, 0.25).pvalue > 1e-4
    # The chance moves no other draw.
    assert (boxes[boxes.any(axis=1)] == many(ALWAYS)[boxes.any(axis=1)]).all()


def test_rectangles_are_in_range() -> None:
    top, left, height, width = many(ALWAYS).T
    assert min(top.min(), left.min()) >= 0
    assert (top + height).max() <= SIDE_PX
    assert (left + width).max() <= SIDE_PX
    # Sides are rounded to whole pixels.
    assert ((height + 0.5) * (width + 0.5)).min() >= 0.02 * SIDE_PX**2
    assert ((height - 0.5) * (width - 0.5)).max() <= SIDE_PX**2 / 3
    assert ((height - 0.5) / (width + 0.5)).max() <= 1 / 0.3
    assert ((height + 0.5) / (width - 0.5)).min() >= 0.3


def test_their_law_is_that_of_the_released_code() -> None:
    rng = random.Random(0)
    theirs = np.array([restated_box(rng) for _ in range(4000)]).T
    ours = many(ALWAYS).T
    for name, own, other in zip("tlhw", ours, theirs, strict=True):
        assert stats.kstest(own, other).pvalue > 1e-4, name
    for name, feature in {"area": np.multiply, "aspect": np.divide}.items():
        assert stats.kstest(feature(*ours[2:]), feature(*theirs[2:])).pvalue > 1e-4, name


@pytest.mark.parametrize("side_px", [8, 9, 32])
def test_small_frames_lose_small_rectangles(side_px: int) -> None:
    top, left, height, width = many(ALWAYS, 500, side_px).T
    assert min(height.min(), width.min()) >= 1
    assert (top + height).max() <= side_px
    assert (left + width).max() <= side_px


def test_where_none_fits_none_is_lost() -> None:
    config = EraseConfig(probability=1.0, area=(1.0, 1.0))
    assert draw_erased(config, SIDE_PX, np.random.default_rng(0))[0] == NOTHING


def erased(seeds: list[int], boxes: list[tuple[int, int, int, int]]) -> torch.Tensor:
    clips = torch.full((len(seeds), 3, 5, 64, 64), 7.0)
    erase_(clips, np.array(boxes, np.int32), np.array(seeds, np.int64))
    return clips


def test_noise_is_normal_in_the_rectangle_of_all_frames_and_nowhere_else() -> None:
    clips = erased([3, 2**63 - 1, 5], [(4, 10, 40, 50), NOTHING, (0, 0, 20, 63)])
    is_left = clips == 7
    expected = torch.ones(3, 64, 64, dtype=torch.bool)
    expected[0, 4:44, 10:60] = False
    expected[2, :20, :63] = False
    assert (is_left == expected[:, None, None]).all()
    noise = clips[0, :, :, 4:44, 10:60]
    assert stats.kstest(noise.flatten().numpy(), "norm").pvalue > 1e-4
    flat = noise.transpose(0, 1).reshape(15, -1).numpy()
    # New in each frame and channel.
    assert np.abs(np.corrcoef(flat) - np.eye(15)).max() < 0.12


def test_a_clip_depends_on_its_own_seed_only() -> None:
    box = (4, 10, 40, 50)
    torch.manual_seed(0)
    state = torch.get_rng_state()
    together = erased([3, 4, 3], [box, box, box])
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(together[0], together[2])
    assert not torch.equal(together[0], together[1])
    torch.manual_seed(1)
    assert torch.equal(erased([4], [box])[0], together[1])


def test_seeds_are_unlike() -> None:
    seeds = [draw_erased(ALWAYS, 64, rng)[1] for rng in np.random.default_rng(0).spawn(1000)]
    assert len(set(seeds)) == 1000
    assert min(seeds) >= 0
    assert max(seeds) > 2**62


@pytest.mark.parametrize(
    "wrong", [{"probability": 1.1}, {"area": (0.5, 0.2)}, {"aspect": (0, 1)}, {"mode": "pixel"}]
)
def test_configs_refuse_what_cannot_be(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        EraseConfig.model_validate(wrong)
