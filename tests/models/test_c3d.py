"""Proves C3D: the published sizes added up by hand, and its layers against a chain written out."""

import torch
from torch import nn
from torch.nn import functional

from avrep.models.c3d import C3d
from avrep.models.seeded import seeded

_WIDTHS = (64, 128, 256, 256, 512, 512, 512, 512)


def _trunk() -> C3d:
    with seeded(0, "c3d"):
        return C3d()


def test_the_paper_s_clips_and_parameters() -> None:
    trunk = _trunk()
    pairs = zip((3, *_WIDTHS), _WIDTHS, strict=False)
    by_hand = sum(27 * in_width * width + width for in_width, width in pairs)
    parameters = sum(p.numel() for p in trunk.parameters())
    assert parameters == by_hand == 27_655_936
    with torch.no_grad():
        maps = trunk(torch.zeros(1, 3, 16, 112, 112))
    assert maps.shape == (1, 512, 1, 4, 4)
    # With the two layers of 4096 on the 8192 numbers of that map, and UCF101's 101 classes: 78.4 M.
    head = 8192 * 4096 + 4096 + 4096 * 4096 + 4096 + 4096 * 101 + 101
    assert f"{(parameters + head) / 1e6:.1f}" == "78.4"


def test_it_is_the_chain_of_the_paper() -> None:
    trunk = _trunk()
    convs = [module for module in trunk.modules() if isinstance(module, nn.Conv3d)]
    assert [conv.out_channels for conv in convs] == [*_WIDTHS]
    video = torch.randn(1, 3, 17, 40, 32, generator=torch.Generator().manual_seed(0))
    x = video
    for number, conv in enumerate(convs):
        x = functional.conv3d(x, conv.weight, conv.bias, padding=1).clamp_min(0)
        if number in (0, 1, 3, 5, 7):
            window = (1, 2, 2) if number == 0 else (2, 2, 2)
            # What would be cut off at an odd end is pooled with nothing.
            odd = [-side % own for side, own in zip(x.shape[2:], window, strict=True)]
            padded = functional.pad(x, (0, odd[2], 0, odd[1], 0, odd[0]), value=-torch.inf)
            x = functional.max_pool3d(padded, window)
    with torch.no_grad():
        torch.testing.assert_close(trunk(video), x)
    assert x.shape == (1, 512, 2, 2, 1)


def test_without_batch_norm_the_signal_keeps_its_size() -> None:
    video = torch.randn(2, 3, 8, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        maps = _trunk()(video)
    assert 0.1 < maps.square().mean().sqrt() < 10
