"""Published networks out of pytorchvideo's builders, without their heads, with its first weights.

Its ResNets start with a zero as the last scale of each block, so that blocks begin as shortcuts.
"""

from typing import Literal, assert_never

from torch import Tensor, nn

from avrep.models.pytorchvideo_import import pytorchvideo_models
from avrep.models.slowfast import SlowFast

PytorchvideoArch = Literal["slow_r50", "r2plus1d_50", "slowfast_r50", "x3d_m"]


def build_pytorchvideo_trunk(arch: PytorchvideoArch) -> tuple[nn.Module, int]:
    """The trunk, float[b 3 t h w] -> float[b d t' h' w'] (sizes rounded up), and d.

    slow_r50: Feichtenhofer et al., arXiv 1812.03982, the slow pathway alone: t, h/32, w/32; 2048-d.
    slowfast_r50: both pathways, see `SlowFast`: t/4, h/32, w/32; 2304-d.
    r2plus1d_50: Tran et al., arXiv 1711.11248, with bottleneck blocks: t/4, h/32, w/32; 2048-d.
    x3d_m: Feichtenhofer, arXiv 2004.04730, up to its fifth convolution, behind which it pools: t,
    h/32, w/32; 432-d. XS and S are the same network, for 4 and 13 frames of 160 pixels.

    Args:
        arch: which network.
    """
    match arch:
        case "slow_r50":
            resnet = pytorchvideo_models("resnet")
            trunk = resnet.create_resnet(model_depth=50, stem_conv_kernel_size=(1, 7, 7), head=None)
            return trunk, 2048
        case "r2plus1d_50":
            net = pytorchvideo_models("r2plus1d").create_r2plus1d(model_depth=50)
            return nn.Sequential(*net.blocks[:-1]), 2048
        case "slowfast_r50":
            net = pytorchvideo_models("slowfast").create_slowfast(model_depth=50, head=None)
            # The last block pools.
            return SlowFast(net.blocks[:-1], slow_stride=4), 2304
        case "x3d_m":
            # SiLU is its Swish, which calls what torch has deprecated.
            net = pytorchvideo_models("x3d").create_x3d(
                input_clip_length=16, input_crop_size=224, inner_act=nn.SiLU
            )
            return X3d(net.blocks), 432
        case _:
            assert_never(arch)


class X3d(nn.Module):
    """X3D's stem and stages, and the convolution behind them.

    Args:
        blocks: of the whole network; the last one is its head.
    """

    def __init__(self, blocks: nn.ModuleList) -> None:
        super().__init__()
        self.stages = nn.Sequential(*blocks[:-1])
        projection = blocks[-1].get_submodule("pool")
        self.conv5 = nn.Sequential(
            projection.get_submodule("pre_conv"),
            projection.get_submodule("pre_norm"),
            projection.get_submodule("pre_act"),
        )

    def forward(self, video: Tensor) -> Tensor:
        return self.conv5(self.stages(video))
