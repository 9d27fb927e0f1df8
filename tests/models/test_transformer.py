"""Proves the transformer's blocks: against torch's own attention with the same weights, and against
a restatement in numpy loops; and that dropped branches follow the generator that is handed in.
"""

import math
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from avrep.models.transformer import Attention, Block, Transformer, TransformerConfig


def _random_weights(module: nn.Module, seed: int = 0) -> None:
    """Every parameter of ordinary size, so that none hides."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(0.5 * torch.randn(parameter.shape, generator=generator))


def _tokens(num_clips: int, num_tokens: int, width: int) -> Tensor:
    return torch.randn(num_clips, num_tokens, width, generator=torch.Generator().manual_seed(1))


def test_attention_is_torch_s_and_a_key_bias_would_change_nothing() -> None:
    ours = Attention(12, 3)
    _random_weights(ours)
    theirs = nn.MultiheadAttention(12, 3, batch_first=True)
    key_bias = torch.randn(12, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        theirs.in_proj_weight.copy_(ours.qkv.weight)
        theirs.in_proj_bias.copy_(torch.cat([ours.query_bias, key_bias, ours.value_bias]))
        theirs.out_proj.weight.copy_(ours.out.weight)
        theirs.out_proj.bias.copy_(ours.out.bias)
        tokens = _tokens(2, 5, 12)
        torch.testing.assert_close(ours(tokens), theirs(tokens, tokens, tokens)[0])


def _norm(x: Any, norm: nn.LayerNorm) -> Any:
    weight, bias = norm.weight.detach().double().numpy(), norm.bias.detach().double().numpy()
    rows = [(row - row.mean()) / math.sqrt(((row - row.mean()) ** 2).mean() + 1e-6) for row in x]
    return np.stack(rows) * weight + bias


def _linear(x: Any, layer: nn.Module) -> Any:
    assert isinstance(layer, nn.Linear)
    bias = 0 if layer.bias is None else layer.bias.detach().double().numpy()
    return x @ layer.weight.detach().double().numpy().T + bias


def _slow_block(x: Any, block: Block, num_heads: int) -> Any:
    width = x.shape[1]
    share = width // num_heads
    attention = block.attention
    query, key, value = np.split(_linear(_norm(x, block.attention_norm), attention.qkv), 3, axis=1)
    query = query + attention.query_bias.detach().double().numpy()
    value = value + attention.value_bias.detach().double().numpy()
    mixed = np.zeros_like(x)
    for head in range(num_heads):
        own = slice(head * share, (head + 1) * share)
        for i in range(len(x)):
            logits = [query[i, own] @ key[j, own] / math.sqrt(share) for j in range(len(x))]
            weights = np.exp(logits) / np.exp(logits).sum()
            mixed[i, own] = sum(weights[j] * value[j, own] for j in range(len(x)))
    x = x + _linear(mixed, attention.out)
    hidden = _linear(_norm(x, block.mlp_norm), block.mlp[0])
    gelu = np.vectorize(lambda v: v * (1 + math.erf(v / math.sqrt(2))) / 2)
    return x + _linear(gelu(hidden), block.mlp[2])


def test_the_stack_equals_loops_in_numpy() -> None:
    model = Transformer(TransformerConfig(width=6, depth=2, num_heads=2))
    _random_weights(model)
    tokens = _tokens(2, 4, 6)
    with torch.no_grad():
        out = model(tokens).numpy()
    for clip, expected in zip(tokens.double().numpy(), out, strict=True):
        for block in model.blocks:
            assert isinstance(block, Block)
            clip = _slow_block(clip, block, 2)
        np.testing.assert_allclose(expected, _norm(clip, model.norm), rtol=1e-4, atol=1e-5)


def test_it_does_not_know_the_order_of_tokens() -> None:
    model = Transformer(TransformerConfig(width=12, depth=2, num_heads=3))
    tokens = _tokens(1, 7, 12)
    order = torch.tensor([3, 0, 6, 2, 5, 1, 4])
    torch.testing.assert_close(model(tokens[:, order]), model(tokens)[:, order])


def test_linear_layers_start_as_glorot_s_uniform_with_three_projections_in_one() -> None:
    model = Transformer(TransformerConfig(width=96, depth=1, num_heads=3))
    block = model.blocks[0]
    assert isinstance(block, Block)
    limit = math.sqrt(6 / (96 + 3 * 96))
    assert 0.99 * limit < block.attention.qkv.weight.abs().max() <= limit
    limit = math.sqrt(6 / (96 + 4 * 96))
    for layer in (block.mlp[0], block.mlp[2]):
        assert isinstance(layer, nn.Linear)
        assert 0.99 * limit < layer.weight.abs().max() <= limit
        assert layer.weight.std().item() == pytest.approx(limit / math.sqrt(3), rel=0.02)
        assert not layer.bias.any()
    assert not block.attention.query_bias.any()
    assert not block.attention.value_bias.any()


def test_dropped_branches_follow_the_generator_and_keep_the_mean() -> None:
    block = Block(8, 2, drop_path=0.25)
    _random_weights(block)
    tokens = _tokens(1, 3, 8).expand(4000, -1, -1)
    with torch.no_grad():
        out = block(tokens, torch.Generator().manual_seed(0))
        again = block(tokens, torch.Generator().manual_seed(0))
        attended = block.attention(block.attention_norm(tokens[:1])) / 0.75
        seen = {}
        for name, middle in (("off", tokens[:1]), ("on", tokens[:1] + attended)):
            seen[name, "off"] = middle
            seen[name, "on"] = middle + block.mlp(block.mlp_norm(middle)) / 0.75
        whole = block.eval()(tokens[:1])
    assert torch.equal(out, again)
    counts = {
        case: int(torch.isclose(out, value, atol=1e-5).all(dim=(1, 2)).sum())
        for case, value in seen.items()
    }
    assert sum(counts.values()) == 4000
    for (first, second), count in counts.items():
        chance = (0.75 if first == "on" else 0.25) * (0.75 if second == "on" else 0.25)
        assert abs(count - 4000 * chance) < 5 * math.sqrt(4000 * chance * (1 - chance))
    # Nothing is dropped in evaluation, and no generator is wanted there.
    middle = tokens[:1] + 0.75 * attended
    torch.testing.assert_close(whole, middle + block.mlp(block.mlp_norm(middle)))


def test_chances_of_dropping_rise_to_the_last_block_and_want_a_generator() -> None:
    model = Transformer(TransformerConfig(width=4, depth=3, num_heads=1), drop_path=0.2)
    chances = [block.drop_path for block in model.blocks if isinstance(block, Block)]
    assert chances == pytest.approx([0, 0.1, 0.2])
    with pytest.raises(ValueError, match=r"drop_path is 0\.1: .* generator"):
        model(_tokens(1, 2, 4))


@pytest.mark.parametrize("wrong", [{"width": 10}, {"depth": 0}, {"num_heads": 0}, {"heads": 3}])
def test_a_wrong_config_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValidationError):
        TransformerConfig.model_validate({"width": 12, "depth": 2, "num_heads": 3, **wrong})


def test_tokens_that_are_not_valid_are_not_attended_to() -> None:
    transformer = Transformer(TransformerConfig(width=12, depth=2, num_heads=3))
    _random_weights(transformer)
    tokens = _tokens(2, 5, 12)
    valid = torch.tensor([[True] * 5, [True, False, True, True, False]])
    masked = transformer(tokens, None, valid)
    torch.testing.assert_close(masked[:1], transformer(tokens[:1]))
    torch.testing.assert_close(masked[1:, [0, 2, 3]], transformer(tokens[1:, [0, 2, 3]]))


def test_states_are_the_input_and_each_block_s_output_the_last_one_normed() -> None:
    transformer = Transformer(TransformerConfig(width=12, depth=2, num_heads=3))
    _random_weights(transformer)
    tokens = _tokens(2, 5, 12)
    states = transformer.states(tokens)
    assert len(states) == 3
    assert torch.equal(states[0], tokens)
    assert torch.equal(states[1], transformer.blocks[0](tokens))
    assert torch.equal(states[2], transformer(tokens))
