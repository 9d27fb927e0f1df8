"""Proves the span masks: counts by hand and by torchaudio's generator, and what holds for any clip."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchaudio.models.wav2vec2.components import _compute_mask_indices

from avrep.models.span_masks import span_mask


def _rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def _runs(mask: np.ndarray) -> list[int]:
    """Lengths of the stretches of masked frames."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], mask.astype(int), [0]])))
    return (edges[1::2] - edges[::2]).tolist()


@given(
    length=st.integers(1, 20),
    more=st.integers(2, 500),
    probability=st.floats(0.01, 1.0),
    seed=st.integers(0, 2**32),
)
def test_what_holds_for_any_clip(length: int, more: int, probability: float, seed: int) -> None:
    num_frames = length + more
    mask = span_mask(num_frames, probability, length, _rng(seed))
    assert mask.shape == (num_frames,)
    assert not mask[-1]
    assert all(run >= length for run in _runs(mask))
    most = max(math.floor(probability * num_frames / length) + 1, 2)
    # Two distinct starts cover a frame more than one span at least.
    assert length + 1 <= mask.sum() <= most * length


def test_the_number_of_spans_is_rounded_at_random() -> None:
    # Spans of one frame cannot overlap: p n / L = 2.6, so 2 of them in 40 % of cases, else 3.
    counts = [span_mask(10, 0.26, 1, _rng(seed)).sum() for seed in range(4000)]
    assert set(counts) == {2, 3}
    assert np.mean(counts) == pytest.approx(2.6, abs=0.03)


def test_there_are_two_spans_at_least() -> None:
    counts = {int(span_mask(100, 0.001, 1, _rng(seed)).sum()) for seed in range(50)}
    assert counts == {2}


def test_starts_are_uniform_where_a_span_fits() -> None:
    hits = sum(span_mask(7, 0.001, 1, _rng(seed)).astype(int) for seed in range(6000))
    # Two of the first six frames: each in a third of the masks, and the last in none.
    np.testing.assert_allclose(hits / 6000, [1 / 3] * 6 + [0], atol=0.025)


@pytest.mark.parametrize("probability", [0.65, 0.8])
def test_the_share_masked_is_torchaudio_s(probability: float) -> None:
    torch.manual_seed(0)
    shares = [span_mask(780, probability, 10, _rng(seed)).mean() for seed in range(300)]
    theirs = [
        _compute_mask_indices((1, 780), None, probability, 10, min_masks=2).float().mean().item()
        for _ in range(300)
    ]
    assert np.mean(shares) == pytest.approx(np.mean(theirs), abs=0.008)
    assert np.mean(shares) == pytest.approx(1 - math.exp(-probability), abs=0.02)


def test_the_shortest_clip_is_masked_but_for_its_last_frame_and_a_shorter_one_refused() -> None:
    assert span_mask(12, 0.65, 10, _rng()).tolist() == [True] * 11 + [False]
    with pytest.raises(ValueError, match="11 frames is too short for 2 spans of 10; it needs 12"):
        span_mask(11, 0.65, 10, _rng())
