"""Proves the tables of positions: against sines worked one by one and against transformers' table
of VideoMAE.
"""

import math

import numpy as np
import pytest
import torch

from avrep.models.positions import (
    LearnedPositions,
    SinusoidPositions,
    build_positions,
    separable_sinusoid_table,
    sinusoid_table,
)


def test_sines_worked_one_by_one() -> None:
    table = sinusoid_table(5, 6)
    assert table.dtype == np.float32
    for place in range(5):
        for pair in range(3):
            angle = place / 10000 ** (2 * pair / 6)
            assert table[place, 2 * pair] == pytest.approx(math.sin(angle), abs=1e-6)
            assert table[place, 2 * pair + 1] == pytest.approx(math.cos(angle), abs=1e-6)


def test_separable_shares_are_each_axis_own_table() -> None:
    # Three axes of 12 entries have 4 each: two sines, then two cosines.
    table = separable_sinusoid_table((2, 3, 2), 12)
    place = 1 * 6 + 2 * 2 + 0
    expected = [
        f(at * rate) for at in (1, 2, 0) for f in (math.sin, math.cos) for rate in (1, 0.01)
    ]
    np.testing.assert_allclose(table[place], expected, atol=1e-6)
    # A width that three does not divide is cut off at its end.
    assert separable_sinusoid_table((2, 3, 2), 8).shape == (12, 8)


@pytest.mark.slow
def test_the_table_is_transformers_videomae_s() -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.VideoMAEConfig(
        image_size=20,
        patch_size=4,
        num_frames=4,
        hidden_size=24,
        num_hidden_layers=1,
        num_attention_heads=2,
    )
    theirs = transformers.VideoMAEModel(config).embeddings.position_embeddings[0].numpy()
    np.testing.assert_allclose(sinusoid_table(2 * 5 * 5, 24), theirs, atol=1e-6)


def test_the_fixed_table_serves_any_grid_and_is_not_in_checkpoints() -> None:
    positions = SinusoidPositions((2, 3, 3), 8)
    assert positions.state_dict() == {}
    assert positions((2, 3, 3)).shape == (1, 18, 8)
    other = positions((4, 3, 5))
    np.testing.assert_array_equal(other[0].numpy(), sinusoid_table(60, 8))
    assert torch.equal(other[:, :18], positions((2, 3, 3)))


def test_learned_positions_are_time_plus_space() -> None:
    positions = LearnedPositions((2, 2, 3), 4)
    table = positions((2, 2, 3))[0]
    for place in range(12):
        time, space = divmod(place, 6)
        torch.testing.assert_close(table[place], positions.time[time] + positions.space[space])
    many = LearnedPositions((64, 16, 16), 96)
    assert many.space.std().item() == pytest.approx(0.02, rel=0.05)
    assert many.time.std().item() == pytest.approx(0.02, rel=0.05)


def test_learned_positions_of_another_grid_are_interpolated() -> None:
    positions = LearnedPositions((2, 2, 2), 3)
    with torch.no_grad():
        positions.space[:] = torch.tensor([1.0, 2.0, 3.0])
        positions.time[0], positions.time[1] = 0.0, 4.0
    table = positions((4, 3, 5))[0].unflatten(0, (4, 15))
    # Four instants centred at -1/4, 1/4, 3/4 and 5/4 of the way; the ends hold their value.
    for time, share in enumerate((0.0, 0.25, 0.75, 1.0)):
        expected = torch.tensor([1.0, 2.0, 3.0]) + 4 * share
        torch.testing.assert_close(table[time], expected.expand(15, 3))


def test_the_separable_table_keeps_a_place_s_entries_in_any_grid() -> None:
    positions = build_positions("separable", (2, 3, 3), 24)
    assert positions.state_dict() == {}
    np.testing.assert_array_equal(
        positions((2, 3, 3))[0].numpy(), separable_sinusoid_table((2, 3, 3), 24)
    )
    wider = positions((4, 3, 5))[0].unflatten(0, (4, 3, 5))
    torch.testing.assert_close(wider[:2, :, :3], positions((2, 3, 3))[0].unflatten(0, (2, 3, 3)))
