"""Proves that shifts are counted the right way round, and that what needs no learning finds them."""

import numpy as np
import pytest
import torch

from avrep.evaluation.envelopes import envelope_scores, envelopes
from avrep.evaluation.sync import scores_by_shift


@pytest.mark.parametrize("late", [-4, -2, 0, 2, 4])
def test_envelopes_find_a_planted_shift(late: int) -> None:
    """Sound that starts late: what goes with frame j is heard that much before it."""
    motion = torch.rand(5, 40, generator=torch.Generator().manual_seed(0))
    loudness = 3 * motion.roll(-late, dims=1) + 1
    scores = envelope_scores(motion, loudness, reach=4, hop=2)
    assert scores.offsets_s == (-8, -6, -4, -2, 0, 2, 4, 6, 8)
    assert scores.best_s().tolist() == [late] * 5
    torch.testing.assert_close(scores.scores.amax(dim=1), torch.ones(5))


def test_envelopes_shift_as_embeddings_do() -> None:
    """The same planted shift is found by both, so that their columns mean the same."""
    motion = torch.rand(3, 30, generator=torch.Generator().manual_seed(1))
    loudness = motion.roll(-3, dims=1)
    by_hand = envelope_scores(motion, loudness, reach=5, hop=1)
    by_distance = scores_by_shift(motion[..., None], loudness[..., None], 5, 1.0)
    assert by_hand.best_s().tolist() == by_distance.best_s().tolist() == [3.0] * 3


def test_envelopes_are_correlations() -> None:
    generator = torch.Generator().manual_seed(2)
    motion, loudness = torch.rand(2, 1, 12, generator=generator)
    scores = envelope_scores(motion, loudness, reach=2, hop=2).scores[0]
    middle = motion[0, 4:8].numpy()
    for column, first in enumerate((8, 6, 4, 2, 0)):
        wanted = np.corrcoef(middle, loudness[0, first : first + 4].numpy())[0, 1]
        assert scores[column].item() == pytest.approx(wanted, abs=1e-5)


def test_envelopes_are_means_of_each_frame() -> None:
    """Pictures that jump at frame 3, sound that is on in frame 5."""
    video = torch.zeros(1, 3, 8, 4, 4)
    video[:, :, 3:] = 0.5
    audio = torch.zeros(1, 80)
    audio[:, 50:60] = -0.25
    motion, loudness = envelopes(video, audio)
    torch.testing.assert_close(motion[0], 0.5 * torch.eye(8)[3])
    torch.testing.assert_close(loudness[0], 0.25 * torch.eye(8)[5])
