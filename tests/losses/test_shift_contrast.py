"""Checks the distances at shifts, their sign, and the margin loss against hand-worked values."""

import pytest
import torch

from avrep.losses.shift_contrast import shift_contrast, shift_distances


def test_distances_are_those_of_the_windows_around() -> None:
    generator = torch.Generator().manual_seed(0)
    video = torch.randn(2, 3, 4, generator=generator)
    audio = torch.randn(2, 7, 4, generator=generator)
    distances = shift_distances(video, audio)
    assert distances.shape == (2, 3, 5)
    for b in range(2):
        for j in range(3):
            for k in range(-2, 3):
                # Later sound is found before the window.
                expected = (video[b, j] - audio[b, j + 2 - k]).norm()
                torch.testing.assert_close(distances[b, j, k + 2], expected)


@pytest.mark.parametrize("shift", [-2, 0, 1])
def test_sound_that_starts_later_is_found_at_a_positive_shift(shift: int) -> None:
    """Window j of the sound holds event j + shift: it starts so many windows later than the pictures."""
    events = torch.randn(20, 4, generator=torch.Generator().manual_seed(0))
    video = events[6:10][None]
    audio = events[4 + shift : 12 + shift][None]
    found = shift_distances(video, audio).mean(dim=1).argmin().item() - 2
    assert found == shift


def test_a_case_worked_by_hand() -> None:
    # (0.5^2 + ((3 - 1)^2 + 0) / 2) / 2 and (2^2 + (0.5^2 + 1^2) / 2) / 2
    distances = torch.tensor([[[1.0, 0.5, 4.0], [2.5, 2.0, 2.0]]])
    assert shift_contrast(distances, 3.0).item() == pytest.approx((1.125 + 2.3125) / 2)


def test_equal_vectors_have_a_finite_slope() -> None:
    video = torch.ones(1, 1, 2, requires_grad=True)
    shift_contrast(shift_distances(video, torch.ones(1, 3, 2)), 1.0).backward()
    assert video.grad is not None
    assert video.grad.isfinite().all()


def test_other_forms_are_refused() -> None:
    with pytest.raises(ValueError, match=r"audio\[b m\+2r d\]; got \[1, 3, 2\] and \[1, 4, 2\]"):
        shift_distances(torch.zeros(1, 3, 2), torch.zeros(1, 4, 2))
    with pytest.raises(ValueError, match="shifts want"):
        shift_distances(torch.zeros(1, 3, 2), torch.zeros(1, 5, 3))
