"""Proves that batch norm of several ranks is torch's own batch norm of the joined batch: what comes out,
all gradients, the running averages, and what evaluation makes of these. Two and four gloo ranks on the
CPU, of unequally many rows.
"""

import copy
from dataclasses import dataclass
from types import MethodType
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from avrep.models.recompute import recompute_in_backward
from avrep.training.joined_norms import JoinedBatchNorm, join_norms
from tests.gloo_ranks import results_of_ranks

pytestmark = pytest.mark.slow

_STEPS = 3
_ROWS = (3, 1, 4, 2)
"""Of each rank."""
_CPU = torch.device("cpu")


@dataclass(frozen=True)
class _Case:
    norm: nn.Module
    shape: tuple[int, ...]
    """Of a row, channels first."""
    mean: float = 0.0
    recompute: bool = False
    compile: bool = False

    def block(self) -> nn.Module:
        torch.manual_seed(0)
        conv = nn.Conv1d(self.shape[0], 4, 1) if len(self.shape) == 2 else nn.Identity()
        block = _Block(conv, copy.deepcopy(self.norm))
        for name, parameter in block.named_parameters():
            if name.startswith("norm"):
                nn.init.uniform_(parameter, 0.5, 1.5)
        return block

    def batch(self, step: int) -> Tensor:
        """Whose channels differ, and whose rows drift from one rank to the next."""
        generator = torch.Generator().manual_seed(step)
        x = torch.randn(sum(_ROWS), *self.shape, generator=generator)
        scale = torch.arange(1.0, 1 + self.shape[0]).view(-1, *(1,) * (len(self.shape) - 1))
        drift = torch.linspace(-1, 1, len(x)).view(-1, *(1,) * len(self.shape))
        return (x + drift) * scale + self.mean

    def weights(self, step: int) -> Tensor:
        width = 4 if len(self.shape) == 2 else self.shape[0]
        generator = torch.Generator().manual_seed(100 + step)
        return torch.randn(sum(_ROWS), width, *self.shape[1:], generator=generator)


class _Block(nn.Module):
    def __init__(self, conv: nn.Module, norm: nn.Module) -> None:
        super().__init__()
        self.conv = conv
        self.norm = norm

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(x))


_CASES = {
    "vectors": _Case(nn.BatchNorm1d(5, momentum=0.003), (5,)),
    "clips": _Case(nn.BatchNorm3d(3), (3, 2, 4, 4)),
    "far from zero": _Case(nn.BatchNorm2d(3, eps=1e-3), (3, 5, 5), mean=1000.0),
    "mean of all batches": _Case(nn.BatchNorm3d(3, momentum=None), (3, 1, 2, 2)),
    "bare": _Case(nn.BatchNorm2d(3, affine=False, track_running_stats=False), (3, 2, 2)),
    "behind a convolution": _Case(nn.BatchNorm1d(4), (2, 6)),
    "recomputed": _Case(nn.BatchNorm1d(4), (2, 6), recompute=True),
    "compiled, recomputed": _Case(nn.BatchNorm1d(4), (2, 6), recompute=True, compile=True),
}


def _rows(rank: int, num_ranks: int) -> slice:
    """All rows, in two or in four runs."""
    bounds = [sum(_ROWS[:end]) for end in range(0, len(_ROWS) + 1, len(_ROWS) // num_ranks)]
    return slice(bounds[rank], bounds[rank + 1])


def _train(case: _Case, rows: slice, *, joined: bool) -> dict[str, Any]:
    block = case.block()
    if joined:
        if case.compile:
            forward = torch.compile(type(block).forward, backend="eager")
            block.forward = MethodType(forward, block)
        if case.recompute:
            recompute_in_backward(block)
        join_norms(block, _CPU)
        assert isinstance(block.norm, JoinedBatchNorm)
    outs, gradients = [], []
    for step in range(_STEPS):
        x = case.batch(step)[rows].requires_grad_()
        y = block(x)
        # A loss that no row has a constant gradient of.
        (y.square() * case.weights(step)[rows]).sum().backward()
        assert x.grad is not None
        outs.append(y.detach())
        gradients.append(x.grad)
    own = {name: p.grad for name, p in block.named_parameters() if p.grad is not None}
    state = {name: value.clone() for name, value in block.state_dict().items()}
    block.eval()
    with torch.no_grad():
        evaluated = block(case.batch(0)[rows])
    return {
        "outs": outs, "gradients": gradients, "own": own, "state": state, "evaluated": evaluated
    }  # fmt: skip


def _of_rank(rank: int, num_ranks: int) -> dict[str, Any]:
    results: dict[str, Any] = {
        name: _train(case, _rows(rank, num_ranks), joined=True) for name, case in _CASES.items()
    }
    results["bf16"] = _in_bf16()
    return results


def _in_bf16() -> str:
    block = _CASES["behind a convolution"].block()
    join_norms(block, _CPU)
    with torch.autocast("cpu", torch.bfloat16):
        return str(block(torch.randn(2, 2, 6)).dtype)


@pytest.fixture(scope="module", params=[2, 4])
def ranks(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> list[dict[str, Any]]:
    return results_of_ranks(_of_rank, request.param, tmp_path_factory.mktemp("ranks"))


@pytest.mark.parametrize("name", _CASES)
def test_ranks_are_the_joined_batch(ranks: list[dict[str, Any]], name: str) -> None:
    case = _CASES[name]
    whole = _train(case, slice(None), joined=False)
    results = [result[name] for result in ranks]
    # What torch itself rounds to so far from zero.
    tolerance = 1e-3 if case.mean else 1e-5
    for step in range(_STEPS):
        for key in ("outs", "gradients"):
            ours = torch.cat([result[key][step] for result in results])
            expected = whole[key][step]
            scale = expected.abs().max().item()
            torch.testing.assert_close(ours, expected, rtol=1e-3, atol=tolerance * scale)
    for key, expected in whole["own"].items():
        ours = torch.stack([result["own"][key] for result in results]).sum(dim=0)
        scale = expected.abs().max().item()
        torch.testing.assert_close(ours, expected, rtol=1e-3, atol=tolerance * scale + 1e-4)
    for result in results:
        assert result["state"].keys() == whole["state"].keys()
        for key, expected in whole["state"].items():
            torch.testing.assert_close(result["state"][key], expected, rtol=1e-5, atol=1e-6)
            assert torch.equal(result["state"][key], results[0]["state"][key])
    if "norm.running_mean" in whole["state"]:
        evaluated = torch.cat([result["evaluated"] for result in results])
        torch.testing.assert_close(evaluated, whole["evaluated"], rtol=1e-3, atol=10 * tolerance)


def test_the_dtype_is_that_of_the_input(ranks: list[dict[str, Any]]) -> None:
    assert {rank["bf16"] for rank in ranks} == {"torch.bfloat16"}


def test_weights_and_averages_stay_the_same_tensors_under_the_same_names() -> None:
    network = nn.Sequential(nn.Sequential(nn.Conv3d(1, 2, 1), nn.BatchNorm3d(2)), nn.BatchNorm1d(3))
    network[0].eval()
    before = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    join_norms(network, _CPU)
    join_norms(network, _CPU)
    after = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    assert before.keys() == after.keys()
    assert all(after[name] is tensor for name, tensor in before.items())
    assert [m.training for m in network.modules() if isinstance(m, JoinedBatchNorm)] == [
        False,
        True,
    ]
