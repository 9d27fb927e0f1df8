"""Proves the permutation-free cross entropy: worked by hand, and against every order in turn."""

import math
from itertools import permutations

import pytest
import torch

from avrep.losses.permutation_bce import permutation_bce


def test_worked_by_hand() -> None:
    # One frame, one speaker speaks, and the network says the other one: the other order fits.
    logits = torch.tensor([[[-2.0, 2.0]]])
    loss, fitting = permutation_bce(logits, torch.tensor([[[1.0, 0.0]]]), torch.tensor([1]))
    assert float(loss) == pytest.approx(math.log(1 + math.exp(-2)))
    assert fitting.tolist() == [[[0.0, 1.0]]]


@pytest.mark.parametrize("num_speakers", [1, 2, 3])
def test_against_every_order(num_speakers: int) -> None:
    rng = torch.Generator().manual_seed(num_speakers)
    logits = torch.randn(3, 5, num_speakers, generator=rng)
    labels = (torch.rand(3, 5, num_speakers, generator=rng) > 0.5).float()
    num_frames = torch.tensor([5, 2, 4])
    total = 0.0
    for row in range(3):
        sums = []
        for order in permutations(range(num_speakers)):
            entropy = 0.0
            for frame in range(int(num_frames[row])):
                for speaker, other in enumerate(order):
                    chance = 1 / (1 + math.exp(-float(logits[row, frame, speaker])))
                    said = chance if labels[row, frame, other] else 1 - chance
                    entropy -= math.log(said) / num_speakers
            sums.append(entropy)
        total += min(sums)
    loss, fitting = permutation_bce(logits, labels, num_frames)
    assert float(loss) == pytest.approx(total / 11, rel=1e-5)
    assert fitting.shape == labels.shape


def test_speakers_have_no_order_and_padding_no_say() -> None:
    rng = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 6, 2, generator=rng, requires_grad=True)
    labels = (torch.rand(2, 6, 2, generator=rng) > 0.5).float()
    num_frames = torch.tensor([6, 3])
    loss, _ = permutation_bce(logits, labels, num_frames)
    assert permutation_bce(logits, labels.flip(2), num_frames)[0].item() == pytest.approx(
        loss.item()
    )
    loss.backward()
    assert logits.grad is not None
    assert logits.grad[1, 3:].abs().max() == 0
    assert logits.grad[1, :3].abs().min() > 0
