"""Proves that the decoder fills a grid: against tokens put in their places one by one."""

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from avrep.models.mae_decoder import MaeDecoder, MaeDecoderConfig
from avrep.models.positions import PositionKind

_KEPT = torch.tensor([[0, 5, 6], [1, 2, 7]])
_MASKED = torch.tensor([[1, 2, 3, 4, 7], [0, 3, 4, 5, 6]])


@pytest.mark.parametrize("positions", ["sinusoid", "learned"])
@pytest.mark.parametrize("embed_bias", [True, False])
def test_every_token_is_decoded_in_its_own_place(positions: PositionKind, embed_bias: bool) -> None:
    torch.manual_seed(0)
    decoder = MaeDecoder(
        MaeDecoderConfig(width=12, depth=2, num_heads=3),
        encoder_width=6,
        grid=(2, 2, 2),
        num_values=5,
        positions=positions,
        embed_bias=embed_bias,
    )
    assert (decoder.embed.bias is not None) == embed_bias
    tokens = torch.randn(2, 3, 6)
    table = decoder.positions((2, 2, 2))[0]
    for clip in range(2):
        rows: list[Tensor] = [decoder.mask_token] * 8
        for token, place in zip(tokens[clip], _KEPT[clip], strict=True):
            rows[int(place)] = decoder.embed(token)
        whole = decoder.head(decoder.transformer((torch.stack(rows) + table)[None])[0])
        decoded = decoder(tokens, _KEPT, _MASKED, (2, 2, 2))[clip]
        torch.testing.assert_close(decoded, whole[_MASKED[clip]])


def test_a_wrong_config_is_refused() -> None:
    with pytest.raises(
        ValidationError, match="width is 100; it must be a multiple of num_heads, 6"
    ):
        MaeDecoderConfig(width=100)
