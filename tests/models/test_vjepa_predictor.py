"""Proves V-JEPA's predictor against tokens placed one by one, and its first weights and size."""

import pytest
import torch
from torch import nn

from avrep.models.positions import separable_sinusoid_table
from avrep.models.seeded import seeded
from avrep.models.transformer import Block
from avrep.models.vjepa_predictor import VjepaPredictor, VjepaPredictorConfig

_GRID = (2, 2, 2)


def _predictor() -> VjepaPredictor:
    config = VjepaPredictorConfig(width=24, depth=2, num_heads=2)
    with seeded(0, "predictor"):
        return VjepaPredictor(config, encoder_width=10, grid=_GRID, num_mask_kinds=2)


def test_tokens_are_placed_one_by_one() -> None:
    predictor = _predictor()
    nn.init.normal_(predictor.mask_tokens, generator=torch.Generator().manual_seed(1))
    tokens = torch.randn(2, 3, 10, generator=torch.Generator().manual_seed(0))
    kept = torch.tensor([[0, 3, 5], [1, 2, 7]])
    masked = torch.tensor([[1, 2, 4, 6], [0, 3, 4, 5]])
    table = torch.from_numpy(separable_sinusoid_table(_GRID, 24))
    for kind in range(2):
        got = predictor(tokens, kept, masked, _GRID, kind)
        assert got.shape == (2, 4, 10)
        for clip in range(2):
            rows = [
                predictor.embed(tokens[clip, number]) + table[place]
                for number, place in enumerate(kept[clip])
            ]
            rows += [predictor.mask_tokens[kind] + table[place] for place in masked[clip]]
            whole = predictor.head(predictor.transformer(torch.stack(rows)[None]))[0]
            torch.testing.assert_close(got[clip], whole[3:])
    first, second = (predictor(tokens, kept, masked, _GRID, kind) for kind in range(2))
    assert not torch.allclose(first, second)


def test_it_starts_as_released() -> None:
    config = VjepaPredictorConfig(width=96, depth=3, num_heads=2)
    predictor = VjepaPredictor(config, encoder_width=96, grid=_GRID, num_mask_kinds=2)
    assert not predictor.mask_tokens.any()
    # What a block's branches add is divided by the square root of twice its number.
    divided: dict[nn.Module, float] = {}
    for number, block in enumerate(predictor.transformer.blocks, start=1):
        assert isinstance(block, Block)
        for last in (block.attention.out, block.mlp[2]):
            divided[last] = (2 * number) ** 0.5
    assert len(divided) == 6
    for module in predictor.modules():
        if isinstance(module, nn.Linear):
            expected = 0.02 / divided.get(module, 1.0)
            assert module.weight.std().item() == pytest.approx(expected, rel=0.05)
            assert module.bias is None or not module.bias.any()


def test_its_size_beside_vit_l() -> None:
    with torch.device("meta"):
        predictor = VjepaPredictor(
            VjepaPredictorConfig(), encoder_width=1024, grid=(8, 14, 14), num_mask_kinds=2
        )
    # 22 M: two layers to and from 1024, the tokens, twelve blocks of 384 and a norm.
    by_hand = 1024 * 384 + 384 + 384 * 1024 + 1024 + 2 * 384
    by_hand += 12 * (12 * 384**2 + 12 * 384) + 2 * 384
    assert sum(parameter.numel() for parameter in predictor.parameters()) == by_hand
    assert f"{by_hand / 1e6:.0f}" == "22"
