"""Proves S3D-G: torchvision's S3D with the same weights where it has no gates, gates by hand, and
parameters added up.
"""

import pytest
import torch
from torch import Tensor, nn
from torchvision.models.video import s3d

from avrep.models.s3d_g import FeatureGate, S3dG
from avrep.models.seeded import seeded

_BRANCHES = ((64, 128, 32, 32), (128, 192, 96, 64), (192, 208, 48, 64), (160, 224, 64, 64),
             (128, 256, 64, 64), (112, 288, 64, 64), (256, 320, 128, 128), (256, 320, 128, 128),
             (384, 384, 128, 128))  # fmt: skip


def _trunk(*, gated: bool) -> S3dG:
    with seeded(0, "s3d_g"):
        return S3dG(gated=gated)


def _num_parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _weights_in_order(module: nn.Module) -> list[Tensor]:
    """Of convolutions and batch norms, with their averages, in the order of computation."""
    found: list[Tensor] = []
    for part in module.modules():
        if isinstance(part, nn.Conv3d | nn.BatchNorm3d):
            found += [*part.state_dict().values()]
    return found


def test_without_gates_it_is_torchvision_s_s3d() -> None:
    theirs, ours = s3d(weights=None).features.eval(), _trunk(gated=False).eval()
    generator = torch.Generator().manual_seed(0)
    pairs = zip(_weights_in_order(ours), _weights_in_order(theirs), strict=True)
    for own, other in pairs:
        assert own.shape == other.shape
        if other.is_floating_point():
            other.add_(torch.rand(other.shape, generator=generator), alpha=0.05)
        own.copy_(other)
    video = torch.randn(1, 3, 16, 64, 64, generator=generator)
    with torch.no_grad():
        expected = theirs(video)
        torch.testing.assert_close(ours(video), expected, rtol=1e-5, atol=1e-5)
    assert expected.shape == (1, 1024, 2, 2, 2)
    assert expected.std() > 1e-2
    assert _num_parameters(ours) == _num_parameters(theirs) == 7_910_048


def test_gates_add_a_matrix_for_each_branch_and_one_before() -> None:
    gates = sum(width**2 for block in _BRANCHES for width in block) + 192**2
    added = _num_parameters(_trunk(gated=True)) - _num_parameters(_trunk(gated=False))
    assert added == gates
    # 9.5 M with Kinetics' 400 classes. The paper's table says 11.56 M, and 8.77 M for S3D, of which
    # torchvision's has 8.32 M.
    assert f"{(7_910_048 + gates + 1024 * 400 + 400) / 1e6:.2f}" == "9.54"


def test_a_gate_by_hand() -> None:
    gate = FeatureGate(2)
    with torch.no_grad():
        gate.mix.weight[:, :, 0, 0, 0] = torch.tensor([[0.0, 1.0], [2.0, 0.0]])
    maps = torch.zeros(1, 2, 1, 2, 2)
    maps[0, 0, 0] = torch.tensor([[1.0, 2.0], [3.0, 6.0]])
    maps[0, 1, 0] = torch.tensor([[0.0, 0.0], [0.0, 4.0]])
    # Means 3 and 1: the first channel is weighed by sigmoid(1), the second by sigmoid(6).
    out = gate(maps)
    first, second = 0.7310586, 0.9975274
    torch.testing.assert_close(
        out[0, 0, 0], first * torch.tensor([[1.0, 2.0], [3.0, 6.0]]), rtol=1e-6, atol=0
    )
    torch.testing.assert_close(
        out[0, 1, 0], second * torch.tensor([[0.0, 0.0], [0.0, 4.0]]), rtol=1e-6, atol=0
    )


def test_gates_sit_where_the_released_code_has_them() -> None:
    trunk = _trunk(gated=True)
    widths = [m.mix.in_channels for m in trunk.modules() if isinstance(m, FeatureGate)]
    assert widths == [192, *(width for block in _BRANCHES for width in block)]
    # Half open at first: each gate halves what goes through it, to a percent.
    maps = torch.rand(1, 192, 2, 3, 3, generator=torch.Generator().manual_seed(0))
    gate = next(m for m in trunk.modules() if isinstance(m, FeatureGate))
    with torch.no_grad():
        share = gate(maps) / maps
    assert share.min() > 0.4
    assert share.max() < 0.6


def test_norms_are_the_released_ones() -> None:
    norms = [m for m in _trunk(gated=True).modules() if isinstance(m, nn.BatchNorm3d)]
    assert {(norm.eps, norm.momentum) for norm in norms} == {(1e-3, 0.001)}


@pytest.mark.parametrize(
    ("size", "grid"), [((8, 32, 32), (1, 1, 1)), ((17, 33, 64), (3, 2, 2)), ((1, 1, 1), (1, 1, 1))]
)
def test_sizes_are_rounded_up(size: tuple[int, ...], grid: tuple[int, ...]) -> None:
    with torch.no_grad():
        assert _trunk(gated=True).eval()(torch.zeros(1, 3, *size)).shape == (1, 1024, *grid)
