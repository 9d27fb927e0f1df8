"""Proves the free-ended time warping: against dtw-python, and against a slow restatement."""

import numpy as np
import pytest
from dtw import dtw
from scipy.spatial.distance import cdist

from avrep.evaluation import subsequence_dtw
from avrep.evaluation.subsequence_dtw import Frames, subsequence_distances, unit_frames


def sounds(seed: int, *lengths: int, width: int = 6) -> list[Frames]:
    rng = np.random.default_rng(seed)
    return [rng.normal(size=(length, width)).astype(np.float32) for length in lengths]


def local_costs(query: Frames, document: Frames) -> np.ndarray:
    costs = np.exp(cdist(query.astype(np.float64), document.astype(np.float64), "cosine")) - 1
    low, high = costs.min(axis=1, keepdims=True), costs.max(axis=1, keepdims=True)
    return (costs - low) / np.clip(high - low, 1e-9, None)


def found(query: Frames, documents: list[Frames]) -> np.ndarray:
    return subsequence_distances(unit_frames(query), [unit_frames(each) for each in documents])


@pytest.mark.parametrize("num_frames", [1, 2, 5, 12])
def test_against_dtw_python(num_frames: int) -> None:
    query, *documents = sounds(num_frames, num_frames, 1, 2, 3, 9, 30)
    wanted = [
        vars(
            dtw(
                local_costs(query, document),
                step_pattern="asymmetric",
                open_begin=True,
                open_end=True,
            )
        )["normalizedDistance"]
        for document in documents
    ]
    np.testing.assert_allclose(found(query, documents), wanted, atol=1e-5)


def test_against_a_slow_restatement() -> None:
    query, *documents = sounds(0, 4, 7, 5)
    for document, distance in zip(documents, found(query, documents), strict=True):
        costs = local_costs(query, document)

        def least(row: int, column: int, costs: np.ndarray = costs) -> float:
            if row < 0:
                return 0.0
            before = [place for place in (column, column - 1, column - 2) if place >= 0]
            return float(costs[row, column]) + min(least(row - 1, place) for place in before)

        ends = range(len(document))
        assert distance == pytest.approx(min(least(3, end) for end in ends) / 4, abs=1e-5)


def test_what_is_there_is_found_wherever_it_is() -> None:
    query, before, after, other = sounds(1, 8, 20, 15, 43)
    slower = np.repeat(query, 2, axis=0)
    documents = [
        np.concatenate([before, query, after]),
        query,
        np.concatenate([slower, after]),
        other,
    ]
    distances = found(query, documents)
    np.testing.assert_allclose(distances[:3], 0, atol=1e-5)
    assert distances[3] > 0.05


def test_neighbours_in_memory_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    query, *documents = sounds(2, 6, 1, 40, 2, 17, 3)
    alone = [found(query, [document])[0] for document in documents]
    together = found(query, documents)
    np.testing.assert_allclose(together, alone, atol=1e-6)
    monkeypatch.setattr(subsequence_dtw, "_MAX_CELLS", 6 * 20)
    np.testing.assert_allclose(found(query, documents), together, atol=1e-6)
    with pytest.raises(ValueError, match="without frames"):
        found(query, [documents[0][:0]])


def test_a_frame_of_zeros_is_like_no_other() -> None:
    query, document = sounds(3, 3, 10)
    document[4] = 0
    assert np.isfinite(found(query, [document])).all()
