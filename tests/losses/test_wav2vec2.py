"""Proves wav2vec 2.0's losses: by hand, in numpy loops, and the law of the distractors."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from avrep.losses.wav2vec2 import (
    contrastive_logits,
    diversity_loss,
    perplexities,
    sample_distractors,
)


@given(
    num_masked=st.integers(2, 60),
    num_distractors=st.integers(1, 50),
    seed=st.integers(0, 2**32 - 1),
)
def test_a_frame_is_never_its_own_distractor(
    num_masked: int, num_distractors: int, seed: int
) -> None:
    drawn = sample_distractors(num_masked, num_distractors, np.random.default_rng(seed))
    assert drawn.shape == (num_masked, num_distractors)
    assert drawn.min() >= 0
    assert drawn.max() < num_masked
    assert (drawn != np.arange(num_masked)[:, None]).all()


def test_distractors_are_uniform_over_the_other_frames() -> None:
    drawn = sample_distractors(5, 8000, np.random.default_rng(0))
    for t in range(5):
        shares = np.bincount(drawn[t], minlength=5) / 8000
        expected = np.full(5, 0.25)
        expected[t] = 0
        np.testing.assert_allclose(shares, expected, atol=0.02)
    with pytest.raises(ValueError, match="at least 2 masked frames, got 1"):
        sample_distractors(1, 100, np.random.default_rng(0))


def test_a_value_worked_by_hand() -> None:
    # T = 0.5. The first frame's own target lies along it, the other at right angles; the second
    # frame's own is opposite.
    context = torch.tensor([[2.0, 0.0], [0.0, -1.0]])
    targets = torch.tensor([[5.0, 0.0], [0.0, 3.0]])
    logits = contrastive_logits(
        context,
        targets,
        torch.tensor([[0, 1], [1, 1]]),
        torch.tensor([[1, 1], [0, 0]]),
        temperature=0.5,
    )
    torch.testing.assert_close(logits, torch.tensor([[2.0, 0.0, 0.0], [-2.0, 0.0, 0.0]]))
    losses = functional.cross_entropy(logits, torch.zeros(2).long(), reduction="none")
    expected = [math.log(1 + 2 * math.exp(-2)), math.log(1 + 2 * math.exp(2))]
    assert losses.tolist() == pytest.approx(expected, rel=1e-6)


def _case() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    codes = torch.randint(2, (9, 2), generator=generator)
    codewords = torch.randn(2, 2, 3, generator=generator)
    targets = torch.cat([codewords[0, codes[:, 0]], codewords[1, codes[:, 1]]], dim=1)
    context = torch.randn(9, 6, generator=generator)
    distractors = torch.from_numpy(sample_distractors(9, 4, np.random.default_rng(0)))
    return context, targets, codes, distractors


def test_it_equals_loops_in_numpy() -> None:
    context, targets, codes, distractors = _case()
    logits = contrastive_logits(context, targets, codes, distractors, temperature=0.1)
    c, q = context.double().numpy(), targets.double().numpy()
    num_hidden = 0
    for t in range(9):
        for place, row in enumerate([t, *distractors[t].tolist()]):
            if place > 0 and codes[row].tolist() == codes[t].tolist():
                num_hidden += 1
                assert logits[t, place] == -math.inf
                continue
            cosine = c[t] @ q[row] / math.sqrt((c[t] @ c[t]) * (q[row] @ q[row]))
            assert logits[t, place].item() == pytest.approx(cosine / 0.1, rel=1e-4, abs=1e-4)
    assert num_hidden >= 2


def test_hidden_distractors_leave_no_trace_in_the_gradient() -> None:
    context, targets, codes, distractors = _case()
    context.requires_grad_()
    logits = contrastive_logits(
        context, targets, torch.zeros_like(codes), distractors, temperature=0.1
    )
    # All codes alike: each frame has its own target alone, so nothing is left to learn.
    loss = functional.cross_entropy(logits, torch.zeros(9).long())
    loss.backward()
    assert loss.item() == 0
    assert context.grad is not None
    assert (context.grad == 0).all()


def test_it_is_computed_in_float32_under_autocast() -> None:
    with torch.autocast("cpu", torch.bfloat16):
        logits = contrastive_logits(*_case(), temperature=0.1)
    assert torch.equal(logits, contrastive_logits(*_case(), temperature=0.1))


def test_diversity_by_hand() -> None:
    even = torch.full((2, 4), 0.25)
    assert perplexities(even).tolist() == pytest.approx([4, 4], rel=1e-5)
    assert diversity_loss(even).item() == pytest.approx(0, abs=1e-5)
    # One book uses one word, the other two of its four: (8 - 1 - 2) / 8.
    uneven = torch.tensor([[1.0, 0, 0, 0], [0.5, 0.5, 0, 0]])
    assert perplexities(uneven).tolist() == pytest.approx([1, 2], rel=1e-5)
    assert diversity_loss(uneven).item() == pytest.approx(5 / 8, rel=1e-5)
    uneven.requires_grad_()
    diversity_loss(uneven).backward()
    assert uneven.grad is not None
    assert uneven.grad.isfinite().all()
