"""S3D-G: Inception with separable convolutions and gates (Xie, Sun, Huang, Tu, Murphy, "Rethinking
Spatiotemporal Feature Learning", arXiv 1712.04851). The released code is tensorflow/models,
research/slim/nets/s3dg.py and i3d_utils.py.
"""

import torch
from torch import Tensor, nn

# Widths of an Inception block: branch 0; branch 1 inside and out; branch 2 likewise; branch 3.
_BLOCKS_3 = ((64, 96, 128, 16, 32, 32), (128, 128, 192, 32, 96, 64))
_BLOCKS_4 = (
    (192, 96, 208, 16, 48, 64),
    (160, 112, 224, 24, 64, 64),
    (128, 128, 256, 24, 64, 64),
    (112, 144, 288, 32, 64, 64),
    (256, 160, 320, 32, 128, 128),
)
_BLOCKS_5 = ((256, 160, 320, 32, 128, 128), (384, 192, 384, 48, 128, 128))


class S3dG(nn.Module):
    """The trunk, float[b 3 t h w] -> float[b 1024 t/8 h/32 w/32], each halving rounded up.

    Every k x k x k convolution is one of space and one of time, each with batch norm (eps 1e-3,
    momentum 0.001 in torch's sense) and ReLU. Gates sit behind the second separable convolution and
    behind each branch of the Inception blocks, without a bias, as in the released code; the paper
    speaks of those behind convolutions of time. The released code's first convolution is not
    separable, and its convolutions of time have a bias for a batch norm and start as the identity;
    here they are as the paper draws them. Kernels start as its normal of deviation 0.01.

    Args:
        gated: False leaves the gates out, which makes it the paper's S3D.
    """

    def __init__(self, *, gated: bool = True) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            _separable(3, 64, 7, stride=2),
            _pool((1, 3, 3), (1, 2, 2)),
            _conv(64, 64, (1, 1, 1)),
            _separable(64, 192, 3),
            _gate(192, gated),
            _pool((1, 3, 3), (1, 2, 2)),
            *_blocks(192, _BLOCKS_3, gated),
            _pool((3, 3, 3), (2, 2, 2)),
            *_blocks(480, _BLOCKS_4, gated),
            # Where a side is odd its end is pooled alone, as with TensorFlow's "SAME".
            nn.MaxPool3d((2, 2, 2), ceil_mode=True),
            *_blocks(832, _BLOCKS_5, gated),
        )
        for module in self.modules():
            if isinstance(module, nn.Conv3d):
                nn.init.trunc_normal_(module.weight, std=0.01, a=-0.02, b=0.02)

    @property
    def blocks(self) -> tuple[nn.Module, ...]:
        """Its Inception blocks."""
        return tuple(layer for layer in self.layers if isinstance(layer, _Inception))

    def forward(self, video: Tensor) -> Tensor:
        return self.layers(video)


class FeatureGate(nn.Module):
    """Weighs each channel by what all channels are on average: x * sigmoid(W mean(x)).

    Section 4.4 of the paper; the mean is over time, height and width. W starts near zero, so that
    gates start half open.

    Args:
        width: channels.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.mix = nn.Conv3d(width, width, 1, bias=False)

    def forward(self, maps: Tensor) -> Tensor:
        """float[b width t h w] -> the same."""
        return maps * self.mix(maps.mean(dim=(2, 3, 4), keepdim=True)).sigmoid()


class _Inception(nn.Module):
    def __init__(
        self, in_width: int, widths: tuple[int, int, int, int, int, int], gated: bool
    ) -> None:
        super().__init__()
        only, inner_1, outer_1, inner_2, outer_2, pooled = widths
        one = (1, 1, 1)
        self.branch0 = nn.Sequential(_conv(in_width, only, one), _gate(only, gated))
        self.branch1 = nn.Sequential(
            _conv(in_width, inner_1, one), _separable(inner_1, outer_1, 3), _gate(outer_1, gated)
        )
        self.branch2 = nn.Sequential(
            _conv(in_width, inner_2, one), _separable(inner_2, outer_2, 3), _gate(outer_2, gated)
        )
        self.branch3 = nn.Sequential(
            _pool((3, 3, 3), one), _conv(in_width, pooled, one), _gate(pooled, gated)
        )

    def forward(self, maps: Tensor) -> Tensor:
        branches = (self.branch0, self.branch1, self.branch2, self.branch3)
        return torch.cat([branch(maps) for branch in branches], dim=1)


def _blocks(
    in_width: int, table: tuple[tuple[int, int, int, int, int, int], ...], gated: bool
) -> list[nn.Module]:
    blocks: list[nn.Module] = []
    for widths in table:
        blocks.append(_Inception(in_width, widths, gated))
        in_width = widths[0] + widths[2] + widths[4] + widths[5]
    return blocks


def _conv(
    in_width: int, width: int, kernel: tuple[int, int, int], stride: tuple[int, int, int] | int = 1
) -> nn.Sequential:
    padding = (kernel[0] // 2, kernel[1] // 2, kernel[2] // 2)
    return nn.Sequential(
        nn.Conv3d(in_width, width, kernel, stride, padding=padding, bias=False),
        nn.BatchNorm3d(width, eps=1e-3, momentum=0.001),
        nn.ReLU(inplace=True),
    )


def _separable(in_width: int, width: int, side: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        _conv(in_width, width, (1, side, side), (1, stride, stride)),
        _conv(width, width, (side, 1, 1), (stride, 1, 1)),
    )


def _pool(kernel: tuple[int, int, int], stride: tuple[int, int, int]) -> nn.MaxPool3d:
    padding = (kernel[0] // 2, kernel[1] // 2, kernel[2] // 2)
    return nn.MaxPool3d(kernel, stride, padding=padding)


def _gate(width: int, gated: bool) -> nn.Module:
    return FeatureGate(width) if gated else nn.Identity()
