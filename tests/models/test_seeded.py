"""Proves that parts of a run get draws of their own, and that an error leaves no trace either."""

import pytest
import torch

from avrep.models.seeded import seeded


def _draw(seed: int, part: str) -> list[float]:
    with seeded(seed, part):
        return torch.rand(4).tolist()


def test_draws_are_a_function_of_seed_and_part() -> None:
    assert _draw(3, "head") == _draw(3, "head")
    others = [_draw(4, "head"), _draw(3, "encoder"), _draw(2**64 - 1, "head")]
    assert all(other != _draw(3, "head") for other in others)


def _fail_inside() -> None:
    with seeded(1, "head"):
        torch.rand(100)
        raise RuntimeError


def test_the_caller_s_draws_go_on_after_an_error() -> None:
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    with pytest.raises(RuntimeError):
        _fail_inside()
    assert torch.equal(torch.rand(3), expected)
