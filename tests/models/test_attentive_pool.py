"""The attentive pool against torch's own multi-head attention, and how it starts."""

import pytest
import torch
from torch import nn

from avrep.models.attentive_pool import AttentiveClassifier, AttentivePool, usual_heads


def test_it_is_attention_of_the_query_to_normed_tokens_and_an_mlp() -> None:
    torch.manual_seed(0)
    pool = AttentivePool(12, num_heads=3)
    for parameter in pool.parameters():
        nn.init.normal_(parameter, std=0.5)
    attention = nn.MultiheadAttention(12, 3, batch_first=True)
    attention.in_proj_weight.data = torch.cat([pool.to_query.weight, pool.to_keys_values.weight])
    attention.in_proj_bias.data = torch.cat([pool.to_query.bias, pool.to_keys_values.bias])
    attention.out_proj.load_state_dict(pool.out.state_dict())
    tokens = torch.randn(5, 7, 12)
    query = pool.query.expand(5, 1, 12)
    keys = nn.functional.layer_norm(
        tokens, (12,), pool.token_norm.weight, pool.token_norm.bias, eps=1e-5
    )
    attended = (query + attention(query, keys, keys)[0])[:, 0]
    wanted = attended + pool.mlp(pool.mlp_norm(attended))
    torch.testing.assert_close(pool(tokens), wanted)


def test_the_order_of_tokens_does_not_matter_and_their_number_may_vary() -> None:
    torch.manual_seed(1)
    classifier = AttentiveClassifier(8, 4, num_heads=2)
    tokens = torch.randn(2, 9, 8)
    torch.testing.assert_close(classifier(tokens), classifier(tokens[:, torch.randperm(9)]))
    assert classifier(tokens[:, :3]).shape == (2, 4)


def test_it_starts_as_v_jepas_does() -> None:
    torch.manual_seed(2)
    pool = AttentivePool(256)
    assert pool.num_heads == 4
    assert pool.query.std().item() == pytest.approx(0.02, rel=0.2)
    assert pool.to_keys_values.weight.std().item() == pytest.approx(0.02, rel=0.02)
    assert pool.out.weight.std().item() == pytest.approx(0.02 / 2**0.5, rel=0.02)
    assert pool.mlp[2].get_parameter("weight").std().item() == pytest.approx(
        0.02 / 2**0.5, rel=0.02
    )
    assert not pool.out.bias.any()


@pytest.mark.parametrize(
    ("width", "heads"), [(768, 12), (1024, 16), (1280, 20), (96, 1), (32, 1), (432, 6), (2304, 36)]
)
def test_heads_are_of_64_where_that_divides(width: int, heads: int) -> None:
    assert usual_heads(width) == heads


def test_heads_must_divide_the_width() -> None:
    with pytest.raises(ValueError, match="10 does not divide into 3 heads"):
        AttentivePool(10, num_heads=3)
