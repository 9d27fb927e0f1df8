"""Mixed clips: shares are those of the pixels, and each clip's draws are its own."""

import numpy as np
import pytest
import torch

from avrep.augment.mixing import MixingConfig, draw_mixing, mix_clips, mix_targets, pasted_box
from avrep.rng import Stage, at
from avrep.types import Address


def rngs(num: int, first: int = 0) -> list[np.random.Generator]:
    return [at(3, Stage.OBJECTIVE, Address(0, first + item)) for item in range(num)]


@pytest.mark.parametrize("cutmix_probability", [0.0, 0.5, 1.0])
def test_a_clip_has_its_share_of_the_pixels(cutmix_probability: float) -> None:
    mixing = draw_mixing(MixingConfig(cutmix_probability=cutmix_probability), 12, 20, rngs(64))
    mixed = mix_clips(torch.ones(64, 3, 2, 12, 20), torch.zeros(64, 3, 2, 12, 20), mixing)
    np.testing.assert_allclose(mixed.mean(dim=(1, 2, 3, 4)), mixing.own_share, atol=1e-6)
    # A box, which may have no area, leaves only pixels of one clip or the other.
    is_box = [set(clip.unique().tolist()) <= {0.0, 1.0} for clip in mixed]
    assert np.mean(is_box) == pytest.approx(cutmix_probability, abs=0.15)
    assert torch.equal(mixed[:, :, 0], mixed[:, :, 1])


@pytest.mark.parametrize(
    ("left_over", "middle", "box"),
    [
        # Sides of half the frame of 8 x 16.
        (0.75, (4, 8), (2, 4, 4, 8)),
        # At the right edge, 5 of 8 columns are inside.
        (0.75, (4, 15), (2, 11, 4, 5)),
        (0.0, (0, 0), (0, 0, 4, 8)),
        (1.0, (4, 8), (4, 8, 0, 0)),
    ],
)
def test_boxes_worked_by_hand(
    left_over: float, middle: tuple[int, int], box: tuple[int, int, int, int]
) -> None:
    assert pasted_box(left_over, middle, 8, 16) == box


def test_draws_are_the_clips_own_and_a_probability_moves_no_other_draw() -> None:
    alone = draw_mixing(MixingConfig(), 12, 20, rngs(1, first=5))
    among = draw_mixing(MixingConfig(), 12, 20, rngs(8))
    assert alone.own_share[0] == among.own_share[5]
    blends = draw_mixing(MixingConfig(cutmix_probability=0.0), 12, 20, rngs(64))
    boxes = draw_mixing(MixingConfig(cutmix_probability=1.0), 12, 20, rngs(64))
    both = draw_mixing(MixingConfig(), 12, 20, rngs(64))
    is_blend = both.own_share == blends.own_share
    np.testing.assert_array_equal(both.own_share[~is_blend], boxes.own_share[~is_blend])
    assert 0 < is_blend.sum() < 64


def test_shares_follow_their_laws() -> None:
    blends = draw_mixing(MixingConfig(cutmix_probability=0.0), 8, 8, rngs(2000)).own_share
    # Beta(a, a): mean 1/2, variance 1 / (4 (2 a + 1)).
    assert blends.mean() == pytest.approx(0.5, abs=0.03)
    assert blends.var() == pytest.approx(1 / (4 * 2.6), rel=0.1)


def test_labels_are_mixed_as_the_pixels_are() -> None:
    mixing = draw_mixing(MixingConfig(), 12, 20, rngs(6))
    targets = mix_targets(torch.eye(6), torch.eye(6).flip(0), mixing)
    np.testing.assert_allclose(targets.diagonal(), mixing.own_share, rtol=1e-6)
    torch.testing.assert_close(targets.sum(dim=1), torch.ones(6))
