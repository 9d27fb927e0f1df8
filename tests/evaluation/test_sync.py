"""Checks scores of offsets against hand-worked values, and their sign against a planted shift."""

import pytest
import torch

from avrep.evaluation.sync import OffsetScores, confidence_by_window, scores_by_shift
from avrep.losses.shift_contrast import shift_distances


def test_best_confidence_and_accuracy_worked_by_hand() -> None:
    found = OffsetScores(
        offsets_s=(-0.2, 0.0, 0.2),
        scores=torch.tensor([[-9.0, -5.0, -8.0], [-1.0, -2.0, -4.0], [-3.0, -3.5, -1.0]]),
    )
    assert found.best().tolist() == [1, 0, 2]
    assert found.best_s().tolist() == pytest.approx([0.0, -0.2, 0.2])
    # Median distance less the least: 8 - 5, 2 - 1, 3 - 1.
    assert found.confidence().tolist() == pytest.approx([3.0, 1.0, 2.0])
    numbers = torch.tensor([1, 1, 0])
    assert found.accuracy(numbers).item() == pytest.approx(1 / 3)
    assert found.accuracy(numbers, within=1).item() == pytest.approx(2 / 3)


@pytest.mark.parametrize("shift", [-3, 0, 2])
def test_a_planted_shift_is_found_with_its_sign(shift: int) -> None:
    events = torch.randn(2, 40, 8, generator=torch.Generator().manual_seed(0))
    video, audio = events[:, 5:25], events[:, 5 + shift : 25 + shift]
    found = scores_by_shift(video, audio, reach=3, hop_s=0.04)
    assert found.offsets_s[0] == pytest.approx(-0.12)
    assert found.best_s().tolist() == pytest.approx([0.04 * shift] * 2)
    assert found.scores[:, 3 + shift].tolist() == pytest.approx([0.0, 0.0], abs=1e-5)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="want more than 6 windows of both; got 6"):
        scores_by_shift(torch.zeros(1, 6, 2), torch.zeros(1, 6, 2), reach=3, hop_s=0.04)
    with pytest.raises(ValueError, match=r"scores of 2 offsets must be float32\[b k\]"):
        OffsetScores(offsets_s=(0.0, 0.1), scores=torch.zeros(1, 3))


def test_confidence_by_window_worked_by_hand() -> None:
    """Three windows at three shifts; the clip is likeliest at the second, at a mean distance of 2."""
    distances = torch.tensor([[[4.0, 1.0, 6.0], [5.0, 2.0, 7.0], [6.0, 3.0, 8.0]]])
    # Means over windows are 5, 2 and 7, their median 5; unsmoothed 5 - 1, 5 - 2, 5 - 3.
    assert confidence_by_window(distances, 1).tolist() == [[4.0, 3.0, 2.0]]
    # Medians of (0, 4, 3), (4, 3, 2), (3, 2, 0).
    assert confidence_by_window(distances, 3).tolist() == [[3.0, 3.0, 2.0]]


def test_who_speaks_is_told_by_the_window() -> None:
    """Sound that goes with the pictures in the first half of the clip alone."""
    draws = torch.Generator().manual_seed(0)
    video, noise = torch.randn(2, 1, 60, 8, generator=draws)
    audio = torch.cat([video[:, :35], noise[:, 35:]], dim=1)
    found = confidence_by_window(shift_distances(video[:, 5:55], audio), 9)[0]
    assert found[5:25].min() > found[36:44].max()
