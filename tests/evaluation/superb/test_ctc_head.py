"""Proves the heads of PR, ASR and SF: the loss against a sum over every path, sizes against those of the
published heads, that padding and company change nothing, and that augmenting is for training alone.
"""

import math
from itertools import groupby, product
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from avrep.evaluation.sound.recordings import Recording
from avrep.evaluation.superb.ctc_head import (
    BothWays,
    CtcHead,
    LinearCtc,
    RecurrentCtc,
    RecurrentHeadConfig,
)
from avrep.evaluation.superb.spec_augment import SpecAugmentConfig
from avrep.evaluation.superb.spoken_examples import SpokenExample
from avrep.evaluation.superb.vocabulary import CHARACTERS, PHONES, Vocabulary

TINY = Vocabulary(("<s>", "a", "</s>", "b"), blank=0, eos=2, unknown=3)
SMALL = RecurrentHeadConfig(hidden_width=5, augment=None)


class Given(CtcHead):
    """Takes features for logits."""

    def score(self, features: Tensor, num_frames: Tensor) -> Tensor:
        del num_frames
        return features


def example(*target: int) -> SpokenExample:
    recording = Recording(key="a", path=Path("a.wav"))
    return SpokenExample(recording=recording, text="", target=target, num_samples=0)


def features(num: int, num_frames: int, width: int) -> Tensor:
    return torch.randn(num, num_frames, width, generator=torch.Generator().manual_seed(0))


def path_sum(log_probs: Tensor, target: tuple[int, ...], blank: int) -> float:
    """The probability that the frames spell the target, over all paths."""
    total = 0.0
    for path in product(range(log_probs.shape[1]), repeat=len(log_probs)):
        if tuple(token for token, _ in groupby(path) if token != blank) == target:
            total += math.exp(sum(float(log_probs[i, token]) for i, token in enumerate(path)))
    return total


def test_loss_against_all_paths() -> None:
    logits, num_frames = features(2, 5, 4), torch.tensor([5, 4])
    targets = (1, 1, 2), (3, 2)
    losses = [
        -math.log(path_sum(logits[row, :count].log_softmax(-1), target, 0)) / len(target)
        for row, (count, target) in enumerate(zip((5, 4), targets, strict=True))
    ]
    loss = Given(TINY).loss(logits, num_frames, [example(*target) for target in targets])
    assert float(loss) == pytest.approx(sum(losses) / 2, rel=1e-5)


def test_a_target_too_long_costs_nothing() -> None:
    logits = features(1, 2, 4).requires_grad_()
    loss = Given(TINY).loss(logits, torch.tensor([2]), [example(1, 1, 2)])
    loss.backward()
    assert loss.item() == 0
    assert logits.grad is not None
    assert not logits.grad.any()


@pytest.mark.parametrize(
    ("head", "num_parameters"),
    [
        # 768 * 256 + 256, then 256 * 74 + 74.
        (LinearCtc(768, PHONES), 196_864 + 19_018),
        # 768 * 1024 + 1024; two directions of 4 gates; 2048 * 32 + 32.
        (
            RecurrentCtc(768, CHARACTERS, RecurrentHeadConfig()),
            787_456 + 8 * 1024 * (1024 + 1024 + 2) + 8 * 1024 * (2048 + 1024 + 2) + 65_568,
        ),
    ],
)
def test_sizes(head: nn.Module, num_parameters: int) -> None:
    assert sum(parameter.numel() for parameter in head.parameters()) == num_parameters


@pytest.mark.parametrize("head", [LinearCtc(6, TINY, 5), RecurrentCtc(6, TINY, SMALL)])
def test_padding_and_company_change_nothing(head: CtcHead) -> None:
    head.eval()
    x, num_frames = features(3, 9, 6), torch.tensor([4, 9, 6])
    together = head.score(x, num_frames)
    for row, count in enumerate(num_frames.tolist()):
        alone = head.score(x[row : row + 1, :count], torch.tensor([count]))
        torch.testing.assert_close(together[row, :count], alone[0])
    kept = head.predict(x, num_frames, [example()] * 3)
    assert [spelling.log_probs for spelling in kept] == [None] * 3


def test_both_ways_against_packed_sequences() -> None:
    torch.manual_seed(0)
    ours, theirs = BothWays(6, 5), nn.LSTM(6, 5, batch_first=True, bidirectional=True)
    for name, parameter in theirs.named_parameters():
        way = ours.back if name.endswith("_reverse") else ours.ahead
        parameter.data.copy_(way.get_parameter(name.removesuffix("_reverse")))
    x, num_frames = features(3, 9, 6), torch.tensor([4, 9, 1])
    packed = pack_padded_sequence(x, num_frames, batch_first=True, enforce_sorted=False)
    truth, _ = pad_packed_sequence(theirs(packed)[0], batch_first=True)
    found = ours(x, num_frames)
    for row, count in enumerate(num_frames.tolist()):
        torch.testing.assert_close(found[row, :count], truth[row, :count])


def test_predictions_for_a_decoder() -> None:
    head = Given(TINY, keep_log_probs=True)
    logits = 9 * torch.eye(4)[torch.tensor([[0, 1, 1, 0, 1, 2], [3, 3, 0, 0, 0, 1]])]
    found = head.predict(logits, torch.tensor([6, 4]), [example()] * 2)
    assert [spelling.symbols for spelling in found] == [("a", "a"), ("b",)]
    for row, (spelling, count) in enumerate(zip(found, (6, 4), strict=True)):
        assert spelling.log_probs is not None
        torch.testing.assert_close(spelling.log_probs, logits[row, :count].log_softmax(-1))


def test_both_layers_have_dropout_behind_them() -> None:
    torch.manual_seed(0)
    config = RecurrentHeadConfig(hidden_width=5, dropout=0.5, augment=None)
    head = RecurrentCtc(6, TINY, config).train()
    seen: list[Tensor] = []
    head.classify.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    head.score(features(2, 30, 6), torch.tensor([30, 30]))
    share = float((seen[0] == 0).float().mean())
    assert 0.4 < share < 0.6


def test_augments_in_training_alone() -> None:
    head = Given(TINY, augment=SpecAugmentConfig(feature_mask_width=3))
    x, num_frames, labels = features(2, 40, 4), torch.tensor([40, 30]), [example(1, 2)] * 2

    def loss(seed: int) -> float:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return float(head.loss(x, num_frames, labels))

    plain = float(Given(TINY).loss(x, num_frames, labels))
    assert loss(0) == loss(0) != loss(1)
    assert loss(0) != plain
    head.eval()
    assert loss(0) == loss(1) == plain


def test_gradient_reaches_everything() -> None:
    torch.manual_seed(0)
    for head in (LinearCtc(6, TINY), RecurrentCtc(6, TINY, SMALL)):
        x = features(2, 9, 6).requires_grad_()
        head.loss(x, torch.tensor([9, 7]), [example(1, 2), example(3, 2)]).backward()
        assert x.grad is not None
        assert not x.grad[1, 7:].any()
        for name, parameter in head.named_parameters():
            assert parameter.grad is not None, name
            assert parameter.grad.any(), name
