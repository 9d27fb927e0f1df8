"""Proves AudioMAE's roll and gain against numpy's roll, padding left alone."""

import numpy as np
import torch

from avrep.augment.sound import draw_roll, rolled


def test_each_row_is_numpy_s_roll_of_its_own_samples() -> None:
    audio = torch.randn(3, 50, generator=torch.Generator().manual_seed(0))
    lengths, shifts, gains = [50, 31, 1], [7, 30, 0], [1.5, 0.5, 1.0]
    for row, length in enumerate(lengths):
        audio[row, length:] = 0
    found = rolled(audio, torch.tensor(lengths), torch.tensor(shifts), torch.tensor(gains))
    for row, (length, shift, gain) in enumerate(zip(lengths, shifts, gains, strict=True)):
        expected = gain * np.roll(audio[row, :length].numpy(), shift)
        assert np.allclose(found[row, :length].numpy(), expected)
        assert not found[row, length:].any()


def test_draws_are_the_published_ones() -> None:
    drawn = [draw_roll(100, np.random.default_rng(seed)) for seed in range(2000)]
    shifts, gains = np.array(drawn).T
    assert shifts.min() >= 0
    assert shifts.max() == 99
    assert abs(shifts.mean() - 49.5) < 3
    assert 0.5 < gains.min() < gains.max() < 1.5
    # Beta(10, 10) has mean 1/2 and variance 1/84.
    assert abs(gains.mean() - 1) < 0.01
    assert abs(gains.var() - 1 / 84) < 0.001
