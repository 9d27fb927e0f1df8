"""Checks retrieval across senses against hand-worked ranks, perfect pairs and features that know nothing."""

import numpy as np
import pytest

from avrep.evaluation.cross_modal import cross_modal_retrieval
from avrep.evaluation.task_result import Metric


def _by_name(metrics: tuple[Metric, ...]) -> dict[str, Metric]:
    return {metric.name: metric for metric in metrics}


def test_ranks_worked_by_hand() -> None:
    """Sound 2 is nearer to picture 0 than to its own, which comes second."""
    video = np.eye(3, dtype=np.float32)
    audio = np.array([[1, 0, 0], [0, 1, 0], [0.8, 0, 0.6]], np.float32)
    found = _by_name(cross_modal_retrieval(video, audio, ("a", "b", "c"), ks=(1, 2, 5)))
    assert set(found) == {"a2v_r@1", "a2v_r@2", "v2a_r@1", "v2a_r@2"}
    assert found["a2v_r@1"].value == pytest.approx(2 / 3)
    assert found["a2v_r@2"].value == 1.0
    # Among the sounds, the one that goes with picture 2 is still the nearest to it.
    assert found["v2a_r@1"].value == 1.0
    assert found["a2v_r@1"].chance == pytest.approx(1 / 3)


def test_features_that_know_nothing_score_chance() -> None:
    same = np.ones((20, 4), np.float32)
    found = _by_name(cross_modal_retrieval(same, same, [str(row) for row in range(20)], ks=(1, 5)))
    assert found["a2v_r@1"].value == pytest.approx(0.05)
    assert found["v2a_r@5"].value == pytest.approx(0.25)
