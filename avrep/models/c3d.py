"""C3D: eight full convolutions in a row (Tran et al., "Learning Spatiotemporal Features with 3D
Convolutional Networks", arXiv 1412.0767).
"""

from torch import Tensor, nn

# Width of each convolution; after those marked the map is pooled.
_LAYERS = ((64, True), (128, True), (256, False), (256, True), (512, False), (512, True),
           (512, False), (512, True))  # fmt: skip


class C3d(nn.Module):
    """The trunk, float[b 3 t h w] -> float[b 512 t/16 h/32 w/32], each halving rounded up.

    3x3x3 convolutions with a bias, ReLU, no batch norm; max-pools of 2x2x2, but 1x2x2 the first.
    The paper's clips of 16 x 112 x 112 come out as 1 x 4 x 4 places. Its two layers of 4096, which
    take all places at once and so one size of clip only, are left out.

    Kernels start as He et al.'s normal (arXiv 1502.01852, avrep default), biases at zero.
    """

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        in_width, num_pools = 3, 0
        for width, pooled in _LAYERS:
            layers += [nn.Conv3d(in_width, width, 3, padding=1), nn.ReLU(inplace=True)]
            in_width = width
            if pooled:
                # Caffe rounds up: 7 places become 4.
                layers.append(nn.MaxPool3d((1 if num_pools == 0 else 2, 2, 2), ceil_mode=True))
                num_pools += 1
        self.layers = nn.Sequential(*layers)
        for module in self.layers:
            if isinstance(module, nn.Conv3d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, video: Tensor) -> Tensor:
        return self.layers(video)
