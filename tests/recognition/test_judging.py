"""Probabilities over clips and crops against a slow restatement, and what an epoch is chosen by."""

import numpy as np
import pytest
import torch

from avrep.recognition.judging import SCORE, TOP1, mean_probabilities, validation_score


def test_means_over_clips_and_crops() -> None:
    torch.manual_seed(0)
    views = [torch.randn(2, 3, 3, 1, 2, 2) for _ in range(4)]
    layer = torch.nn.Linear(12, 5)

    def logits_of(clips: torch.Tensor) -> torch.Tensor:
        return layer(clips.flatten(1))

    logits = torch.stack(
        [torch.stack([logits_of(view[:, crop]) for crop in range(3)]) for view in views]
    )
    found = mean_probabilities(iter(views), logits_of, "probabilities", "fp32")
    torch.testing.assert_close(found, logits.softmax(dim=-1).mean(dim=(0, 1)))
    found = mean_probabilities(iter(views), logits_of, "logits", "fp32")
    torch.testing.assert_close(found, logits.mean(dim=(0, 1)).softmax(dim=-1))


def test_one_video_more_outweighs_any_certainty() -> None:
    labels = np.array([0, 1, 1])
    sure = np.array([[1, 0], [0, 1], [0.51, 0.49]], np.float32)
    unsure = np.array([[0.51, 0.49], [0.49, 0.51], [0.49, 0.51]], np.float32)
    bold, timid = validation_score(sure, labels), validation_score(unsure, labels)
    assert (bold[TOP1], timid[TOP1]) == (pytest.approx(2 / 3), 1.0)
    assert timid[SCORE] > bold[SCORE]
    # Of two that have as many right, the surer one.
    half_sure = sure.copy()
    half_sure[0] = 0.6, 0.4
    assert bold[SCORE] > validation_score(half_sure, labels)[SCORE] > 2 / 3
