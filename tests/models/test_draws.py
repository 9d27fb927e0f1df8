"""Proves that dropout draws from the generator it is lent, and nothing else notices."""

import torch
from torch.nn import functional

from avrep.models.draws import draws_from


def _dropped(rng: torch.Generator) -> torch.Tensor:
    with draws_from(rng):
        return functional.dropout(torch.ones(100), 0.5, training=True)


def test_dropout_follows_the_lent_generator_and_moves_it_on() -> None:
    first, again = (torch.Generator().manual_seed(7) for _ in range(2))
    torch.manual_seed(0)
    expected = _dropped(first)
    torch.rand(3)
    assert torch.equal(_dropped(again), expected)
    assert not torch.equal(_dropped(again), expected)


def test_the_global_generator_stays_as_it_was_even_after_an_error() -> None:
    before = torch.get_rng_state()
    _dropped(torch.Generator().manual_seed(1))
    assert torch.equal(torch.get_rng_state(), before)
    try:
        with draws_from(torch.Generator()):
            torch.rand(3)
            raise KeyError
    except KeyError:
        pass
    assert torch.equal(torch.get_rng_state(), before)
