"""Proves HuBERT's loss: by hand, in numpy loops, and against torchaudio's logits."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional
from torchaudio.models.wav2vec2.components import _compute_logits

from avrep.losses.feature_penalty import squared_features
from avrep.losses.hubert import cluster_logits, frame_labels


def _case(num_rows: int = 6) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    projected = torch.randn(num_rows, 4, generator=generator)
    embeddings = torch.rand(5, 4, generator=generator)
    return projected, embeddings, torch.randint(5, (num_rows,), generator=generator)


def test_a_value_worked_by_hand() -> None:
    # Along its own cluster, at right angles to the other two; length does not matter.
    logits = cluster_logits(
        torch.tensor([[3.0, 0, 0]]),
        torch.tensor([[2.0, 0, 0], [0, 1, 0], [0, 0, 5]]),
        temperature=0.5,
    )
    torch.testing.assert_close(logits, torch.tensor([[2.0, 0.0, 0.0]]))
    loss = functional.cross_entropy(logits, torch.tensor([0]))
    assert loss.item() == pytest.approx(math.log(1 + 2 * math.exp(-2)), rel=1e-6)


def test_it_equals_loops_in_numpy() -> None:
    projected, embeddings, _ = _case()
    expected = np.zeros((6, 5))
    for t, o in enumerate(projected.double().numpy()):
        for c, e in enumerate(embeddings.double().numpy()):
            expected[t, c] = (o @ e) / math.sqrt((o @ o) * (e @ e)) / 0.1
    logits = cluster_logits(projected, embeddings, temperature=0.1)
    np.testing.assert_allclose(logits.numpy(), expected, rtol=1e-5, atol=1e-5)


def test_the_loss_and_its_gradient_are_torchaudio_s() -> None:
    projected, embeddings, labels = _case()
    sides = []
    for theirs in (False, True):
        o, e = projected.clone().requires_grad_(), embeddings.clone().requires_grad_()
        if theirs:
            # The right cluster first, and its double among all of them at minus infinity.
            right = torch.zeros_like(labels)
            logits = _compute_logits(o, labels, e)  # pyright: ignore[reportArgumentType]
        else:
            logits, right = cluster_logits(o, e, temperature=0.1), labels
        loss = functional.cross_entropy(logits, right)
        sides.append((loss.detach(), *torch.autograd.grad(loss, (o, e))))
    for ours, theirs in zip(*sides, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_it_is_computed_in_float32_under_autocast() -> None:
    projected, embeddings, _ = _case()
    with torch.autocast("cpu", torch.bfloat16):
        logits = cluster_logits(projected, embeddings, temperature=0.1)
    assert torch.equal(logits, cluster_logits(projected, embeddings, temperature=0.1))


def test_frames_take_the_label_at_their_own_start() -> None:
    labels = torch.arange(20)[None].repeat(2, 1)
    assert frame_labels(labels, 10, 50, 100)[0].tolist() == list(range(0, 20, 2))
    assert frame_labels(labels, 20, 50, 50)[1].tolist() == list(range(20))
    # 33 labels a second: floor(0.66 i).
    assert frame_labels(labels, 7, 50, 33)[0].tolist() == [0, 0, 1, 1, 2, 3, 3]
    for label_rate_hz in range(1, 101):
        many = torch.arange(200)[None]
        expected = [i * label_rate_hz * 320 // 16000 for i in range(100)]
        assert frame_labels(many, 100, 50, label_rate_hz)[0].tolist() == expected


def test_labels_that_end_too_early_are_refused() -> None:
    assert frame_labels(torch.zeros(1, 19).long(), 10, 50, 100).shape == (1, 10)
    with pytest.raises(ValueError, match="18 labels at 100 Hz do not reach the last of 10 frames"):
        frame_labels(torch.zeros(1, 18).long(), 10, 50, 100)


def test_squares_are_of_the_clips_own_frames() -> None:
    features = torch.full((2, 3, 2), 2.0)
    features[1, 1:] = 100.0
    assert squared_features(features, torch.tensor([3, 1])).item() == 4 * 8.0
