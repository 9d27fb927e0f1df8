"""Proves that SlowFast's pathways are made of one clip as published."""

import pytest
import torch
from torch import Tensor, nn

from avrep.models.slowfast import SlowFast


class _Noted(nn.Module):
    """Two channels of the slow clip, one of the fast one; keeps what it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.given: list[Tensor] = []

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        self.given = maps
        return [maps[0][:, :2], maps[1][:, 2:]]


def test_the_slow_pathway_sees_every_fourth_frame_and_the_fast_one_all() -> None:
    block = _Noted()
    video = torch.arange(8.0).reshape(1, 1, 8, 1, 1).expand(2, 3, 8, 4, 5).clone()
    video[:, 2] *= 10
    joined = SlowFast(nn.ModuleList([block]), slow_stride=4)(video)
    slow, fast = block.given
    assert slow[0, 0, :, 0, 0].tolist() == [0, 4]
    assert torch.equal(fast, video)
    # The slow clip's channels at its two instants, and the fast one's mean over four frames each.
    assert joined.shape == (2, 3, 2, 4, 5)
    assert joined[0, :, :, 0, 0].tolist() == [[0, 4], [0, 4], [15, 55]]
    torch.testing.assert_close(joined.mean(dim=(2, 3, 4))[0], torch.tensor([2.0, 2.0, 35.0]))


def test_frames_that_do_not_part_are_refused() -> None:
    with pytest.raises(ValueError, match="a multiple of 4 frames, got 6"):
        SlowFast(nn.ModuleList([_Noted()]), slow_stride=4)(torch.zeros(1, 3, 6, 4, 4))
