"""Checks the segments' InfoNCE against a hand-worked case and the formula, term by term."""

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from avrep.losses.segment_contrast import segment_info_nce, segment_top1


def _draw(*shape: int, seed: int = 0) -> Tensor:
    rows = torch.randn(*shape, generator=torch.Generator().manual_seed(seed))
    return functional.normalize(rows, dim=-1)


def _slow(video: Tensor, audio: Tensor, temperature: float, hard_weight: float) -> float:
    """The formula for one rank that holds all clips."""
    num_clips, num_segments, _ = video.shape
    total = 0.0
    for query, key in ((video, audio), (audio, video)):
        for i in range(num_clips):
            for k in range(num_segments):
                top, bottom = math.exp(float(query[i, k] @ key[i, k]) / temperature), 0.0
                for j in range(num_clips):
                    for m in range(num_segments):
                        term = math.exp(float(query[i, k] @ key[j, m]) / temperature)
                        bottom += hard_weight * term if j == i and m != k else term
                total -= math.log(top / bottom)
    return total / (2 * num_clips * num_segments)


@pytest.mark.parametrize("hard_weight", [0.0, 0.3, 1.0])
def test_it_is_the_formula(hard_weight: float) -> None:
    video, audio = _draw(3, 4, 5), _draw(3, 4, 5, seed=1)
    loss = segment_info_nce(
        video, audio, video, audio, offset=0, temperature=0.2, hard_weight=hard_weight
    )
    assert loss.item() == pytest.approx(_slow(video, audio, 0.2, hard_weight), rel=1e-5)


def test_a_case_worked_by_hand() -> None:
    """Two clips of two segments, vectors along the axes of the plane, temperature 1.

    Clip 0: pictures and sound are e1, e2. Clip 1: pictures e1, e1 and sound e2, e2.
    Pictures: segment 0 of clip 0 has inner products 1 | 0, 0, 0 with its own | other sound, segment 1
    has 1 | 0, 1, 1; both of clip 1 have 0 | 0 with their own and 1, 0 with clip 0's.
    """
    e1, e2 = torch.eye(2)
    video = torch.stack([torch.stack([e1, e2]), torch.stack([e1, e1])])
    audio = torch.stack([torch.stack([e1, e2]), torch.stack([e2, e2])])
    e = math.e
    for weight in (0.0, 0.5, 1.0):
        pictures = [
            math.log((e + weight + 2) / e),
            math.log((e + weight + 2 * e) / e),
            2 * math.log(1 + weight + e + 1),
        ]
        sound = [
            math.log((e + weight + 2 * e) / e),
            math.log((e + weight + 2) / e),
            2 * math.log(1 + weight + 1 + e),
        ]
        loss = segment_info_nce(
            video, audio, video, audio, offset=0, temperature=1.0, hard_weight=weight
        )
        assert loss.item() == pytest.approx((sum(pictures) + sum(sound)) / 8, rel=1e-6)


def test_a_rank_s_share_of_the_joined_batch() -> None:
    video, audio = _draw(4, 3, 5), _draw(4, 3, 5, seed=1)
    whole = segment_info_nce(video, audio, video, audio, offset=0, temperature=0.1, hard_weight=0.5)
    shares = [
        segment_info_nce(
            video[first : first + 2],
            audio[first : first + 2],
            video,
            audio,
            offset=first,
            temperature=0.1,
            hard_weight=0.5,
        )
        for first in (0, 2)
    ]
    torch.testing.assert_close(torch.stack(shares).mean(), whole)


def test_hard_negatives_without_weight_are_not_there() -> None:
    """Neither the loss nor a gradient knows of a clip's other segments at weight 0."""
    video, audio = _draw(2, 2, 5), _draw(2, 2, 5, seed=1)
    audio.requires_grad_()
    loss = segment_info_nce(
        video[:1], audio[:1].detach(), video, audio, offset=0, temperature=0.1, hard_weight=0.0
    )
    loss.backward()
    assert audio.grad is not None
    assert audio.grad.isfinite().all()
    # One clip alone: each segment has nothing to be told from.
    alone = segment_info_nce(
        video[:1], audio[:1], video[:1], audio[:1], offset=0, temperature=0.1, hard_weight=0.0
    )
    assert alone.item() == 0.0


def test_top1_within_the_clip() -> None:
    video = torch.eye(3)[None].repeat(2, 1, 1)
    audio = video.clone()
    audio[1] = audio[1, [0, 2, 1]]
    assert segment_top1(video, audio).item() == pytest.approx(4 / 6)
