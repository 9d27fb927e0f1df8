"""V-JEPA's attentive pool: one learned query that looks at all tokens (arXiv 2404.08471)."""

import torch
from torch import Tensor, nn
from torch.nn import functional

_HEAD_WIDTH = 64
_START_STD = 0.02


class AttentivePool(nn.Module):
    """Cross-attention of a learned query, float[b n width] -> float[b width].

        q = query + attention(query, norm(tokens))
        pooled = q + mlp(norm(q)), with a hidden layer four times as wide

    The block of V-JEPA's frozen evaluation (released code, depth 1): the query is not normed, all
    projections have a bias. Linear layers start as a normal of deviation 0.02 with bias 0, the last one
    of each branch divided by the square root of 2.

    Args:
        width: of the tokens.
        num_heads: a divisor of the width; None: as many as make heads of 64, as in ViTs.
    """

    def __init__(self, width: int, num_heads: int | None = None) -> None:
        super().__init__()
        self.num_heads = usual_heads(width) if num_heads is None else num_heads
        if width % self.num_heads:
            raise ValueError(f"{width} does not divide into {num_heads} heads")
        self.query = nn.Parameter(torch.empty(1, width))
        self.token_norm = nn.LayerNorm(width)
        self.to_query = nn.Linear(width, width)
        self.to_keys_values = nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)
        self.mlp_norm = nn.LayerNorm(width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )
        nn.init.trunc_normal_(self.query, std=_START_STD)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=_START_STD)
                nn.init.zeros_(module.bias)
        with torch.no_grad():
            self.out.weight.div_(2**0.5)
            self.mlp[2].get_parameter("weight").div_(2**0.5)

    def forward(self, tokens: Tensor) -> Tensor:
        query = self._heads(self.to_query(self.query))
        keys, values = self.to_keys_values(self.token_norm(tokens)).chunk(2, dim=-1)
        attended = functional.scaled_dot_product_attention(
            query.expand(len(tokens), -1, -1, -1), self._heads(keys), self._heads(values)
        )
        pooled = self.query + self.out(attended.transpose(1, 2).flatten(1))
        return pooled + self.mlp(self.mlp_norm(pooled))

    def _heads(self, tokens: Tensor) -> Tensor:
        """[... n d] -> [... heads n d/heads]."""
        return tokens.unflatten(-1, (self.num_heads, -1)).transpose(-3, -2)


class AttentiveClassifier(nn.Module):
    """The pool and a linear layer: float[b n width] -> logits, float[b classes].

    Args:
        width: of the tokens.
        num_classes: how many logits.
        num_heads: see `AttentivePool`.
    """

    def __init__(self, width: int, num_classes: int, num_heads: int | None = None) -> None:
        super().__init__()
        self.pool = AttentivePool(width, num_heads)
        self.linear = nn.Linear(width, num_classes)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.linear(self.pool(tokens))


def usual_heads(width: int) -> int:
    """The number of heads nearest to `width` / 64 from below that divides the width."""
    return next(heads for heads in range(max(1, width // _HEAD_WIDTH), 0, -1) if width % heads == 0)
