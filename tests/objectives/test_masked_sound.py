"""Proves what masked objectives of sound draw for their layers: the share that LayerDrop keeps."""

import numpy as np
import pytest

from avrep.objectives.masked_sound import draw_kept_layers
from avrep.types import Address


@pytest.mark.parametrize("drop", [0.05, 0.3])
def test_each_layer_is_skipped_by_its_share_of_clips(drop: float) -> None:
    addresses = [Address(0, item) for item in range(2000)]
    kept = draw_kept_layers(12, addresses, 7, drop=drop)
    assert kept.shape == (2000, 12)
    # Five standard deviations of the mean over all draws, and over those of a layer.
    spread = (drop * (1 - drop)) ** 0.5
    assert kept.mean() == pytest.approx(1 - drop, abs=5 * spread / kept.size**0.5)
    assert np.abs(kept.mean(axis=0) - (1 - drop)).max() < 5 * spread / 2000**0.5
    # Of a clip as often two layers as chance has it: no layer goes with another.
    skipped = (~kept).sum(axis=1)
    assert skipped.var() == pytest.approx(12 * spread**2, rel=0.2)


def test_the_layers_of_a_clip_follow_its_address() -> None:
    addresses = [Address(0, item) for item in range(50)]
    kept = draw_kept_layers(12, addresses, 7, drop=0.3)
    assert np.array_equal(draw_kept_layers(12, addresses[::-1], 7, drop=0.3), kept[::-1])
    assert not np.array_equal(draw_kept_layers(12, addresses, 8, drop=0.3), kept)
