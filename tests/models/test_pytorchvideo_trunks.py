"""Proves that the trunks are pytorchvideo's own networks up to their heads, and of the published sizes.

Sizes are those of pytorchvideo's model zoo, heads for Kinetics' 400 classes included.
"""

import pytest
import torch
from torch import Tensor, nn

from avrep.models.pytorchvideo_import import pytorchvideo_models
from avrep.models.pytorchvideo_trunks import PytorchvideoArch, build_pytorchvideo_trunk
from avrep.models.seeded import seeded


def _trunk(arch: PytorchvideoArch) -> tuple[nn.Module, int]:
    with seeded(0, arch):
        return build_pytorchvideo_trunk(arch)


@pytest.mark.parametrize(
    ("arch", "trunk_parameters", "head_parameters", "published", "grid"),
    [
        ("slow_r50", 31_634_496, 2048 * 400 + 400, "32.45", (8, 2, 1)),
        ("r2plus1d_50", 27_288_000, 2048 * 400 + 400, "28.11", (2, 2, 1)),
        ("slowfast_r50", 33_644_488, 2304 * 400 + 400, "34.57", (2, 2, 1)),
        # Its head has a layer of 2048 behind the pool.
        ("x3d_m", 2_089_938, 432 * 2048 + 2048 * 400 + 400, "3.79", (8, 2, 1)),
    ],
)
def test_sizes_are_the_published_ones(
    arch: PytorchvideoArch,
    trunk_parameters: int,
    head_parameters: int,
    published: str,
    grid: tuple[int, int, int],
) -> None:
    trunk, width = _trunk(arch)
    assert sum(parameter.numel() for parameter in trunk.parameters()) == trunk_parameters
    assert f"{(trunk_parameters + head_parameters) / 1e6:.2f}" == published
    with torch.no_grad():
        maps = trunk.eval()(torch.zeros(1, 3, 8, 48, 32))
    assert maps.shape == (1, width, *grid)


def _whole(arch: PytorchvideoArch) -> tuple[nn.Module, Tensor, list[Tensor]]:
    """The network with its head, a clip, and what the trunk's weights are in its order."""
    video = torch.randn(2, 3, 8, 64, 64, generator=torch.Generator().manual_seed(0))
    match arch:
        case "slow_r50":
            net = pytorchvideo_models("resnet").create_resnet(
                model_depth=50, stem_conv_kernel_size=(1, 7, 7), head_pool_kernel_size=(8, 2, 2)
            )
        case "r2plus1d_50":
            net = pytorchvideo_models("r2plus1d").create_r2plus1d(
                head_pool_kernel_size=(2, 2, 2), head_activation=None
            )
        case "slowfast_r50":
            net = pytorchvideo_models("slowfast").create_slowfast(
                head_pool_kernel_sizes=((2, 2, 2), (8, 2, 2))
            )
        case "x3d_m":
            net = pytorchvideo_models("x3d").create_x3d(
                input_clip_length=8, input_crop_size=64, head_activation=None
            )
    return net, video, [*net.state_dict().values()]


@pytest.mark.slow
@pytest.mark.parametrize("arch", ["slow_r50", "r2plus1d_50", "slowfast_r50", "x3d_m"])
def test_with_their_weights_and_head_it_gives_their_logits(arch: PytorchvideoArch) -> None:
    with seeded(0, "whole"):
        net, video, weights = _whole(arch)
    net.eval()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(torch.rand(parameter.shape, generator=generator), alpha=0.02)
    trunk, _ = _trunk(arch)
    trunk.eval()
    # The trunk's come first, in the same order.
    own = trunk.state_dict()
    trunk.load_state_dict(dict(zip(own, weights, strict=False)))
    with torch.no_grad():
        maps = trunk(video)
        pooled = maps.mean(dim=(2, 3, 4))
        head = [m for m in net.modules() if isinstance(m, nn.Linear)][-1]
        if arch == "x3d_m":
            lin5 = [m for m in net.modules() if isinstance(m, nn.Conv3d)][-1]
            pooled = lin5(pooled[:, :, None, None, None]).flatten(1).clamp_min(0)
        inputs = [video[:, :, ::4], video] if arch == "slowfast_r50" else video
        expected = net(inputs)
        torch.testing.assert_close(head(pooled), expected, rtol=1e-4, atol=1e-4)
    assert (expected[0] - expected[1]).abs().max() > 1e-2
