"""R3D-18: the 18-layer residual network of full 3x3x3 convolutions (Tran et al., arXiv 1711.11248).

With the plain stem and base width 64 it is torchvision's `r3d_18`, parameter for parameter, which
is also the one that RSPNet pretrains. The fast stem is CVRL's, for machines without a GPU.
"""

from torch import Tensor, nn


class R3d18(nn.Module):
    """The trunk, float[b 3 t h w] -> float[b 8*base_width t' h' w'], sizes rounded up.

    Plain stem (3x7x7, stride 1x2x2): t' = t/8, h' = h/16, w' = w/16. Fast stem (5x7x7, stride
    2x2x2, then a 1x3x3 max-pool of stride 1x2x2): t' = t/16, h' = h/32, w' = w/32.

    Convolutions start as He et al.'s normal over the fan out (arXiv 1502.01852), batch norm at
    torch's momentum 0.1 and eps 1e-5.

    Args:
        base_width: channels after the stem; the paper's is 64.
        fast_stem: take the fast stem; an avrep default for small machines, in no paper.
    """

    def __init__(self, base_width: int, *, fast_stem: bool) -> None:
        super().__init__()
        self.stem = _fast_stem(base_width) if fast_stem else _plain_stem(base_width)
        widths = [base_width * 2**stage for stage in range(4)]
        self.layer1 = _stage(base_width, widths[0], stride=1)
        self.layer2 = _stage(widths[0], widths[1], stride=2)
        self.layer3 = _stage(widths[1], widths[2], stride=2)
        self.layer4 = _stage(widths[2], widths[3], stride=2)
        for module in self.modules():
            if isinstance(module, nn.Conv3d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, video: Tensor) -> Tensor:
        return self.layer4(self.layer3(self.layer2(self.layer1(self.stem(video)))))


class _BasicBlock(nn.Module):
    """Two 3x3x3 convolutions beside a shortcut, which is a 1x1x1 one where the shape changes."""

    def __init__(self, in_width: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Sequential(
            nn.Conv3d(in_width, width, 3, stride, padding=1, bias=False),
            nn.BatchNorm3d(width),
            nn.ReLU(inplace=True),
        )
        self.conv2 = nn.Sequential(
            nn.Conv3d(width, width, 3, padding=1, bias=False), nn.BatchNorm3d(width)
        )
        self.relu = nn.ReLU(inplace=True)
        self.downsample = nn.Identity()
        if stride != 1 or in_width != width:
            self.downsample = nn.Sequential(
                nn.Conv3d(in_width, width, 1, stride, bias=False), nn.BatchNorm3d(width)
            )

    def forward(self, x: Tensor) -> Tensor:
        return self.relu(self.conv2(self.conv1(x)) + self.downsample(x))


def _stage(in_width: int, width: int, stride: int) -> nn.Sequential:
    return nn.Sequential(_BasicBlock(in_width, width, stride), _BasicBlock(width, width, 1))


def _plain_stem(width: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv3d(3, width, (3, 7, 7), (1, 2, 2), padding=(1, 3, 3), bias=False),
        nn.BatchNorm3d(width),
        nn.ReLU(inplace=True),
    )


def _fast_stem(width: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv3d(3, width, (5, 7, 7), (2, 2, 2), padding=(2, 3, 3), bias=False),
        nn.BatchNorm3d(width),
        nn.ReLU(inplace=True),
        nn.MaxPool3d((1, 3, 3), (1, 2, 2), padding=(0, 1, 1)),
    )
