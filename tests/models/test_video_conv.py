"""Proves that the encoders are the published networks and that their weights follow the seed alone.

Truth: layer tables added up by hand, torchvision's own R3D-18 and R(2+1)D-18 with the same weights,
the feature map looked up place by place.
"""

from typing import get_args

import pytest
import torch
from pydantic import ValidationError
from torch import nn
from torchvision.models.video import r2plus1d_18, r3d_18

from avrep.models.features import Features
from avrep.models.video_conv import VideoConv, VideoConvConfig, build_video_conv

_SMALL = VideoConvConfig(arch="r3d_18", base_width=4)


def _r3d_50_parameters_by_hand() -> int:
    """Stem, then (blocks, inner width, temporal kernel) of res2 to res5; 2 numbers a norm channel."""
    count = 3 * 64 * 5 * 7 * 7 + 2 * 64
    width = 64
    for blocks, inner, temporal in [(3, 64, 1), (4, 128, 1), (6, 256, 3), (3, 512, 3)]:
        outer = 4 * inner
        for block in range(blocks):
            count += width * inner * temporal + 2 * inner
            count += inner * inner * 3 * 3 + 2 * inner
            count += inner * outer + 2 * outer
            if block == 0:
                count += width * outer + 2 * outer
            width = outer
    return count


def test_r3d_50_has_the_paper_s_size() -> None:
    encoder = build_video_conv(VideoConvConfig(), 0)
    assert encoder.num_parameters == _r3d_50_parameters_by_hand() == 31_672_128
    assert f"{encoder.num_parameters / 1e6:.1f}" == "31.7"
    assert encoder.width == 2048


def test_r3d_50_has_cvrl_s_kernels_and_strides() -> None:
    encoder = build_video_conv(VideoConvConfig(base_width=4), 0)
    convs = [module for module in encoder.modules() if isinstance(module, nn.Conv3d)]
    stem, rest = convs[0], convs[1:]
    assert stem.kernel_size == (5, 7, 7)
    assert stem.stride == (2, 2, 2)
    # Three convolutions a block and one shortcut a stage: 10, 13, 19 and 10 of them.
    temporal = [conv.kernel_size[0] for conv in rest]
    stages = [temporal[:10], temporal[10:23], temporal[23:42], temporal[42:]]
    assert [sorted(set(stage)) for stage in stages] == [[1], [1], [1, 3], [1, 3]]
    assert [stage.count(3) for stage in stages] == [0, 0, 6, 3]
    assert {conv.stride[0] for conv in rest} == {1}
    norms = [module for module in encoder.modules() if isinstance(module, nn.BatchNorm3d)]
    assert {(norm.momentum, norm.eps) for norm in norms} == {(0.1, 1e-5)}
    assert all((norm.weight == 1).all() for norm in norms)


def test_r3d_50_kernels_start_with_variance_one_over_fan_in() -> None:
    encoder = build_video_conv(VideoConvConfig(base_width=16), 0)
    for conv in (module for module in encoder.modules() if isinstance(module, nn.Conv3d)):
        if conv.weight.numel() > 20_000:
            expected = conv.weight[0].numel() ** -0.5
            assert conv.weight.std().item() == pytest.approx(expected, rel=0.03)
            assert conv.weight.abs().max().item() < 2.28 * expected


def test_r3d_18_is_torchvision_s() -> None:
    theirs = r3d_18(weights=None).eval()
    theirs.register_module("fc", nn.Identity())
    ours = build_video_conv(VideoConvConfig(arch="r3d_18"), 0).eval()
    ours.trunk.load_state_dict(theirs.state_dict())
    video = torch.randn(2, 3, 8, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(ours(video).pooled, theirs(video))
    assert ours.num_parameters == sum(p.numel() for p in theirs.parameters()) == 33_166_272
    assert ours.width == 512


def test_r2plus1d_18_is_torchvision_s() -> None:
    theirs = r2plus1d_18(weights=None).eval()
    # The published figure, with a head for Kinetics' 400 classes.
    assert sum(p.numel() for p in theirs.parameters()) == 31_505_325
    theirs.register_module("fc", nn.Identity())
    ours = build_video_conv(VideoConvConfig(arch="r2plus1d_18"), 0).eval()
    ours.trunk.load_state_dict(
        dict(zip(ours.trunk.state_dict(), theirs.state_dict().values(), strict=True))
    )
    video = torch.randn(2, 3, 8, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(ours(video).pooled, theirs(video))
    assert ours.num_parameters == 31_505_325 - (512 * 400 + 400)
    assert ours.width == 512


@pytest.mark.parametrize(
    ("arch", "grid", "width"),
    [("r3d_50", (4, 2, 1), 128), ("r3d_18", (1, 3, 2), 32), ("r3d_18_fast", (1, 2, 1), 32)],
)
def test_features_are_the_map_s_places_and_their_mean(
    arch: str, grid: tuple[int, int, int], width: int
) -> None:
    encoder = build_video_conv(VideoConvConfig.model_validate({"arch": arch, "base_width": 4}), 0)
    assert isinstance(encoder, VideoConv)
    video = torch.randn(2, 3, 8, 48, 32, generator=torch.Generator().manual_seed(0))
    encoder.eval()
    features = encoder(video)
    assert isinstance(features, Features)
    assert features.grid == grid
    assert features.kept is None
    assert encoder.width == width
    maps = encoder.trunk(video)
    t, h, w = grid
    assert maps.shape == (2, width, t, h, w)
    for place in range(t * h * w):
        i, j, k = place // (h * w), place // w % h, place % w
        torch.testing.assert_close(features.tokens[:, place], maps[:, :, i, j, k])
    torch.testing.assert_close(features.pooled, features.tokens.mean(dim=1))


@pytest.mark.parametrize(
    ("video", "got"),
    [
        (torch.zeros(2, 8, 32, 32, 3), r"float32\[2, 8, 32, 32, 3\]"),
        (torch.zeros(3, 8, 32, 32), r"float32\[3, 8, 32, 32\]"),
        (torch.zeros(2, 3, 8, 32, 32, dtype=torch.uint8), r"uint8\[2, 3, 8, 32, 32\]"),
        (torch.zeros(0, 3, 8, 32, 32), r"float32\[0, 3, 8, 32, 32\]"),
    ],
)
def test_another_input_is_refused_by_name(video: torch.Tensor, got: str) -> None:
    with pytest.raises(ValueError, match=r"wants float\[b 3 t h w\].*got " + got):
        build_video_conv(_SMALL, 0)(video)


def test_weights_follow_the_seed_and_leave_the_global_generator_alone() -> None:
    torch.manual_seed(123)
    before = torch.get_rng_state()
    first = build_video_conv(_SMALL, 7)
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(5)
    again, other = build_video_conv(_SMALL, 7), build_video_conv(_SMALL, 8)
    for name, weights in first.state_dict().items():
        assert torch.equal(weights, again.state_dict()[name])
    stem = "trunk.stem.0.weight"
    assert not torch.equal(first.state_dict()[stem], other.state_dict()[stem])


def test_a_default_device_does_not_change_where_weights_are_made() -> None:
    with torch.device("meta"):
        encoder = build_video_conv(_SMALL, 7)
    expected = build_video_conv(_SMALL, 7).state_dict()
    for name, weights in encoder.state_dict().items():
        assert torch.equal(weights, expected[name])


@pytest.mark.parametrize(
    "wrong", [{"arch": "r3d_19"}, {"base_width": 0}, {"width": 64}, {"version": 2}]
)
def test_a_wrong_config_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        VideoConvConfig.model_validate(wrong)


def test_another_width_is_refused_where_only_the_published_one_is_there() -> None:
    with pytest.raises(ValidationError, match="base_width is 32; x3d_m has its published widths"):
        VideoConvConfig(arch="x3d_m", base_width=32)


_ARCHS = get_args(VideoConvConfig.model_fields["arch"].annotation)


@pytest.mark.slow
@pytest.mark.parametrize("arch", _ARCHS)
def test_each_network_has_the_width_that_it_says(arch: str) -> None:
    encoder = build_video_conv(VideoConvConfig.model_validate({"arch": arch}), 0).eval()
    features = encoder(torch.zeros(2, 3, 8, 40, 32))
    assert features.pooled.shape == (2, encoder.width)
    t, h, w = features.grid
    assert features.tokens.shape == (2, t * h * w, encoder.width)


@pytest.mark.slow
def test_an_encoder_compiles_to_one_graph() -> None:
    encoder = build_video_conv(_SMALL, 0).eval()
    compiled = torch.compile(encoder, backend="eager", fullgraph=True)
    video = torch.randn(2, 3, 8, 16, 16, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(compiled(video).pooled, encoder(video).pooled)
