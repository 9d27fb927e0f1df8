"""Checks scores of offsets against hand-worked values, and their sign against a planted shift."""

import pytest
import torch

from avrep.evaluation.sync import OffsetScores, scores_by_shift


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
