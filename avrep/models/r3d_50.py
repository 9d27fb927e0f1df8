"""R3D-50 as CVRL has it (Qian et al., arXiv 2008.03800), out of pytorchvideo's ResNet parts.

The stock Slow-R50 sees each frame alone in its stem (1x7x7); CVRL's stem is 5x7x7 and halves time.
Facts are from the released code: tensorflow/models, official/projects/video_ssl (its
configs/experiments and configs/video_ssl.py) and official/vision/modeling/backbones/resnet_3d.py.
"""

import math

from torch import nn

from avrep.models.pytorchvideo_import import pytorchvideo_models


def build_r3d_50(base_width: int) -> nn.Module:
    """The trunk, float[b 3 t h w] -> float[b 32*base_width t/2 h/32 w/32] (sizes rounded up).

    At base_width 64 it has 31.7 M parameters. Temporal kernels: stem 5 with stride 2; res2 and res3
    all 1; res4 and res5 all 3; time is not halved again. Batch norm averages with momentum 0.1 in
    torch's sense (0.9 in TensorFlow's) and eps 1e-5, as in the released experiments, and no scale
    starts at zero, unlike pytorchvideo's own initialisation.

    Where a stride meets an even side the released code pads after the picture only ("SAME") and
    this one on both sides; weights cannot be carried over without that shift in mind.

    Args:
        base_width: channels after the stem; the paper's is 64.
    """
    trunk = pytorchvideo_models("resnet").create_resnet(
        input_channel=3,
        model_depth=50,
        stem_dim_out=base_width,
        stem_conv_kernel_size=(5, 7, 7),
        stem_conv_stride=(2, 2, 2),
        stem_pool_kernel_size=(1, 3, 3),
        stem_pool_stride=(1, 2, 2),
        stage_conv_a_kernel_size=((1, 1, 1), (1, 1, 1), (3, 1, 1), (3, 1, 1)),
        stage_temporal_stride=(1, 1, 1, 1),
        norm=nn.BatchNorm3d,
        head=None,
    )
    _init(trunk)
    return trunk


def _init(trunk: nn.Module) -> None:
    """The released code's initialisation: Keras' VarianceScaling for kernels, ones for scales."""
    for module in trunk.modules():
        if isinstance(module, nn.Conv3d):
            fan_in = module.weight[0].numel()
            # Cutting a normal at two deviations leaves 0.8796 of its deviation; Keras divides by it.
            std = math.sqrt(1 / fan_in) / 0.87962566103423978
            nn.init.trunc_normal_(module.weight, std=std, a=-2 * std, b=2 * std)
        elif isinstance(module, nn.BatchNorm3d):
            nn.init.ones_(module.weight)
            nn.init.zeros_(module.bias)
