"""Proves AudioMAE's decoder: who attends to whom, found by gradients, is the windows drawn by hand;
windows as large as the sound are global attention; padding and missing places do not matter.
"""

from itertools import pairwise

import pytest
import torch
from torch import Tensor

from avrep.models.masks import take_places
from avrep.models.spectrogram_decoder import SpectrogramDecoder, SpectrogramDecoderConfig

_GRID = (7, 3, 1)
_PLACES = 21


def _decoder(
    depth: int, window: int | None, grid: tuple[int, int, int] = _GRID
) -> SpectrogramDecoder:
    torch.manual_seed(0)
    config = SpectrogramDecoderConfig(width=16, depth=depth, num_heads=2, window=window)
    return SpectrogramDecoder(config, encoder_width=8, grid=grid, num_values=5)


def _parts(num_kept: int = 6) -> tuple[Tensor, Tensor, Tensor]:
    """Tokens float[1 k 8], and their places and the others of one clip."""
    generator = torch.Generator().manual_seed(0)
    order = torch.randperm(_PLACES, generator=generator)[None]
    tokens = torch.randn(1, num_kept, 8, generator=generator)
    return tokens, order[:, :num_kept], order[:, num_kept:]


def _own(num_places: int = _PLACES, num_clips: int = 1) -> Tensor:
    return (torch.arange(_PLACES) < num_places).expand(num_clips, -1)


def _who_reaches(decoder: SpectrogramDecoder, place: int) -> set[int]:
    """Places whose tokens what is predicted at a place depends on."""
    everywhere = torch.arange(_PLACES)[None]
    tokens = torch.randn(1, _PLACES, 8, requires_grad=True)
    made = decoder(tokens, everywhere, torch.tensor([[place]]), _GRID, _own())
    made.square().sum().backward()
    assert tokens.grad is not None
    return {*torch.nonzero(tokens.grad[0].any(dim=1))[:, 0].tolist()}


def _places(times: range, bands: range) -> set[int]:
    return {3 * time + band for time in times for band in bands}


def test_the_first_block_attends_within_windows() -> None:
    decoder = _decoder(1, 2)
    # Of seven times and three bands the last of each are left over.
    assert _who_reaches(decoder, 3 * 2 + 0) == _places(range(2, 4), range(2))
    assert _who_reaches(decoder, 3 * 1 + 2) == _places(range(2), range(2, 3))
    assert _who_reaches(decoder, 3 * 6 + 1) == _places(range(6, 7), range(2))


def test_the_second_block_attends_half_a_window_later_in_time() -> None:
    decoder = _decoder(2, 4)
    # Windows of times 0-3 and 4-6, then of 0-1, 2-5 and 6.
    assert _who_reaches(decoder, 3 * 0) == _places(range(4), range(3))
    assert _who_reaches(decoder, 3 * 3) == _places(range(7), range(3))
    assert _who_reaches(decoder, 3 * 6) == _places(range(4, 7), range(3))
    assert _who_reaches(_decoder(2, 2), 3 * 3) == _places(range(2, 6), range(2))


def test_a_window_that_holds_all_is_global_attention() -> None:
    tokens, kept, masked = _parts()
    made = [_decoder(1, window)(tokens, kept, masked, _GRID, _own()) for window in (None, 7)]
    assert made[0].shape == (1, 15, 5)
    torch.testing.assert_close(made[0], made[1])


@pytest.mark.parametrize("window", [None, 4])
def test_it_equals_the_blocks_on_a_table_filled_by_loops(window: int | None) -> None:
    decoder = _decoder(2, window)
    tokens, kept, masked = _parts()
    table = decoder.mask_token.expand(_PLACES, -1).clone()
    for row, place in enumerate(kept[0].tolist()):
        table[place] = decoder.embed(tokens[0, row])
    table = table[None] + decoder.positions(_GRID)
    for number, block in enumerate(decoder.transformer.blocks):
        starts = {None: [0, 7], 4: [[0, 4, 7], [0, 2, 6, 7]][number]}[window]
        parts = [table[:, 3 * a : 3 * b] for a, b in pairwise(starts)]
        table = torch.cat([block(part) for part in parts], dim=1)
    expected = decoder.head(decoder.transformer.norm(take_places(table, masked)))
    made = decoder(tokens, kept, masked, _GRID, _own())
    torch.testing.assert_close(made, expected)


@pytest.mark.parametrize("window", [None, 2])
def test_padding_and_missing_places_do_not_matter(window: int | None) -> None:
    decoder = _decoder(2, window)
    tokens = torch.randn(2, 4, 8, generator=torch.Generator().manual_seed(0), requires_grad=True)
    # The second clip has three times only.
    kept = torch.tensor([[0, 5, 20, 9], [8, 1, -1, -1]])
    masked = torch.tensor([[1, 2, 3, 12], [0, 2, 7, -1]])
    own = torch.cat([_own(), _own(9)])
    made = decoder(tokens, kept, masked, _GRID, own)
    alone = decoder(tokens[1:, :2], kept[1:, :2], masked[1:, :3], (3, 3, 1), own[1:, :9])
    torch.testing.assert_close(made[1, :3], alone[0])
    made[1, :3].sum().backward()
    assert tokens.grad is not None
    assert tokens.grad.isfinite().all()
    assert not tokens.grad[1, 2:].any()
    for parameter in decoder.parameters():
        assert parameter.grad is not None
        assert parameter.grad.isfinite().all()


def test_the_defaults_are_the_released_ones() -> None:
    config = SpectrogramDecoderConfig()
    assert (config.width, config.depth, config.num_heads, config.window) == (512, 16, 16, 4)
