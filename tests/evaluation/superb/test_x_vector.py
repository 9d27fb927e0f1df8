"""Proves the x-vector head: its frames, its statistics, that padding has no say, and what it learns."""

from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional

from avrep.evaluation.sound.recordings import Recording
from avrep.evaluation.superb.voxceleb1_trials import VerificationExample
from avrep.evaluation.superb.x_vector import (
    CONTEXTS,
    LOST_FRAMES,
    XVectorHead,
    statistics_pooling,
)
from avrep.models.seeded import seeded


@pytest.fixture(scope="module")
def head() -> XVectorHead:
    with seeded(0, "head"):
        return XVectorHead(width=6, num_speakers=3, min_frames=20)


def examples(*labels: int) -> list[VerificationExample]:
    return [
        VerificationExample(recording=Recording(key=str(n), path=Path("x.wav")), label=label)
        for n, label in enumerate(labels)
    ]


def convolutions(head: XVectorHead) -> list[nn.Conv1d]:
    return [layer for layer in head.layers if isinstance(layer, nn.Conv1d)]


def features(*lengths: int) -> tuple[torch.Tensor, torch.Tensor]:
    drawn = torch.randn(len(lengths), max(lengths), 6, generator=torch.Generator().manual_seed(0))
    return drawn, torch.tensor(lengths)


def test_layers_lose_fourteen_frames(head: XVectorHead) -> None:
    assert LOST_FRAMES == 14
    assert [layer.weight.shape for layer in convolutions(head)] == [
        (512, 512, 5),
        (512, 512, 3),
        (512, 512, 3),
        (512, 512, 1),
        (1500, 512, 1),
    ]
    assert [layer.dilation[0] for layer in convolutions(head)] == [
        dilation for _, dilation in CONTEXTS
    ]


def test_statistics_are_of_own_frames() -> None:
    frames, num_frames = features(9, 4, 1)
    pooled = statistics_pooling(frames, num_frames)
    for row, length in enumerate((9, 4)):
        own = frames[row, :length]
        torch.testing.assert_close(pooled[row], torch.cat([own.mean(0), own.std(0)]))
    torch.testing.assert_close(pooled[2, :6], frames[2, 0])
    assert pooled[2, 6:].abs().max() < 1e-5


def test_the_network_against_windows_of_frames(head: XVectorHead) -> None:
    # Each layer as an affine map of its frames, one place at a time.
    frames, num_frames = features(17)
    x = head.projection(frames[0])
    for layer, (context, dilation) in zip(convolutions(head), CONTEXTS, strict=True):
        places = range(len(x) - (context - 1) * dilation)
        windows = [x[[place + k * dilation for k in range(context)]] for place in places]
        stacked = torch.stack([window.T.flatten() for window in windows])
        x = functional.linear(stacked, layer.weight.flatten(1), layer.bias).relu()
    assert len(x) == 3
    pooled = torch.cat([x.mean(0), x.std(0)])
    wanted = functional.normalize(functional.relu(head.embedding(pooled)), dim=0)
    found = head.predict(frames, num_frames, examples(0))[0]
    torch.testing.assert_close(found, wanted.detach(), atol=1e-5, rtol=1e-4)


def test_padding_and_neighbours_have_no_say(head: XVectorHead) -> None:
    frames, num_frames = features(40, 21, 5)
    together = head.predict(frames, num_frames, examples(0, 1, 2))
    for row, length in enumerate(num_frames.tolist()):
        alone = head.predict(frames[row : row + 1, :length], num_frames[row : row + 1], examples(0))
        torch.testing.assert_close(alone[0], together[row], atol=1e-5, rtol=1e-4)
        assert float(alone[0].detach().norm()) == pytest.approx(1, abs=1e-5)


def test_short_examples_do_not_count(head: XVectorHead) -> None:
    frames, num_frames = features(40, 19, 30)
    found = head.loss(frames, num_frames, examples(0, 1, 2))
    kept = [0, 2]
    torch.testing.assert_close(found, head.loss(frames[kept], num_frames[kept], examples(0, 2)))
    none = head.loss(frames[1:2, :19], num_frames[1:2], examples(1))
    none.backward()
    assert none.item() == 0


@pytest.mark.slow
def test_it_learns_to_tell_speakers() -> None:
    with seeded(1, "head"):
        head = XVectorHead(width=6, num_speakers=3, min_frames=15)
    centres = 2 * torch.eye(6)[:3]
    frames, num_frames = features(*[18] * 12)
    labels = [row % 3 for row in range(12)]
    frames = frames + centres[labels][:, None]
    optimizer = torch.optim.AdamW(head.parameters(), lr=1e-3)
    losses = []
    for _ in range(5):
        optimizer.zero_grad()
        loss = head.loss(frames, num_frames, examples(*labels))
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]
    vectors = torch.stack(head.predict(frames, num_frames, examples(*labels))).detach()
    numbers = torch.tensor(labels)
    is_same = numbers[:, None] == numbers
    cosines = vectors @ vectors.T
    assert cosines[is_same].min() > cosines[~is_same].max()
