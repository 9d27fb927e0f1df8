"""Pre-norm transformer blocks, shared by encoders of tubelets and patches and by their decoders."""

from typing import Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional

from avrep.frozen import FrozenConfig

NORM_EPS = 1e-6
"""Of every layer norm here, as in VideoMAE and MAE-ST; torch's own default is 1e-5."""


class TransformerConfig(FrozenConfig):
    """Sizes of a stack of blocks."""

    width: int = Field(ge=1, le=65536)
    """Width of a token; a multiple of `num_heads`."""
    depth: int = Field(ge=1, le=1024)
    """Number of blocks."""
    num_heads: int = Field(ge=1, le=1024)

    @model_validator(mode="after")
    def _heads_fit(self) -> Self:
        if self.width % self.num_heads:
            raise ValueError(
                f"width is {self.width}; it must be a multiple of num_heads, {self.num_heads}"
            )
        return self


VitSize = Literal["micro", "tiny", "small", "base", "large", "huge"]
VIT_SIZES: dict[VitSize, TransformerConfig] = {
    "micro": TransformerConfig(width=96, depth=4, num_heads=3),
    "tiny": TransformerConfig(width=192, depth=12, num_heads=3),
    "small": TransformerConfig(width=384, depth=12, num_heads=6),
    "base": TransformerConfig(width=768, depth=12, num_heads=12),
    "large": TransformerConfig(width=1024, depth=24, num_heads=16),
    "huge": TransformerConfig(width=1280, depth=32, num_heads=16),
}
"""The published ViT-Ti, ViT-S, ViT-B, ViT-L and ViT-H; micro is avrep's own."""


class Attention(nn.Module):
    """Self-attention of all tokens, float[b n width] -> float[b n width].

    Queries and values have a bias, keys have none, as in VideoMAE (arXiv 2203.12602, released
    code). Nothing is lost: a key's bias adds the same number to all the logits of a query, and the
    softmax takes it away again. MAE-ST (arXiv 2205.09113) has that bias; its function is the same.

    Args:
        width: of the tokens.
        num_heads: a divisor of the width.
    """

    def __init__(self, width: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.query_bias = nn.Parameter(torch.zeros(width))
        self.value_bias = nn.Parameter(torch.zeros(width))
        self.out = nn.Linear(width, width)

    def forward(self, tokens: Tensor, valid: Tensor | None = None) -> Tensor:
        bias = torch.cat([self.query_bias, torch.zeros_like(self.query_bias), self.value_bias])
        qkv = functional.linear(tokens, self.qkv.weight, bias)
        # [b n 3d] -> three of [b heads n d/heads].
        query, key, value = (
            part.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
            for part in qkv.chunk(3, dim=-1)
        )
        attended = None if valid is None else valid[:, None, None, :]
        mixed = functional.scaled_dot_product_attention(query, key, value, attn_mask=attended)
        return self.out(mixed.transpose(1, 2).flatten(2))


class Block(nn.Module):
    """x + attention(norm(x)), then x + mlp(norm(x)), with a hidden layer four times as wide.

    Args:
        width: of the tokens.
        num_heads: a divisor of the width.
        drop_path: chance that a clip skips a branch while training (stochastic depth, arXiv
            1603.09382); what is left is scaled up, so that the expectation stays.
    """

    def __init__(self, width: int, num_heads: int, drop_path: float = 0.0) -> None:
        super().__init__()
        self.drop_path = drop_path
        self.attention_norm = nn.LayerNorm(width, eps=NORM_EPS)
        self.attention = Attention(width, num_heads)
        self.mlp_norm = nn.LayerNorm(width, eps=NORM_EPS)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )

    def forward(
        self, tokens: Tensor, rng: torch.Generator | None = None, valid: Tensor | None = None
    ) -> Tensor:
        tokens = tokens + self._dropped(self.attention(self.attention_norm(tokens), valid), rng)
        return tokens + self._dropped(self.mlp(self.mlp_norm(tokens)), rng)

    def _dropped(self, branch: Tensor, rng: torch.Generator | None) -> Tensor:
        if self.drop_path == 0 or not self.training:
            return branch
        if rng is None:
            raise ValueError(
                f"drop_path is {self.drop_path}: training wants a generator to draw from, got none"
            )
        draws = torch.rand(branch.shape[0], generator=rng, device=branch.device)
        stays = (draws >= self.drop_path).to(branch.dtype) / (1 - self.drop_path)
        return branch * stays[:, None, None]


class Transformer(nn.Module):
    """Blocks and a last layer norm, float[b n width] -> float[b n width].

    Linear layers start as Glorot's uniform with bias 0, as in VideoMAE and MAE-ST; the three
    projections of an attention count as one matrix of 3 * width rows, as in VideoMAE, which draws
    them from a range narrower by the square root of 2 than MAE-ST does.

    Args:
        config: sizes.
        drop_path: chance of a skipped branch in the last block; it rises in a line from 0 at the
            first.
    """

    def __init__(self, config: TransformerConfig, drop_path: float = 0.0) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            Block(config.width, config.num_heads) for _ in range(config.depth)
        )
        self.norm = nn.LayerNorm(config.width, eps=NORM_EPS)
        self.set_drop_path(drop_path)
        self.apply(start_linear)

    def set_drop_path(self, drop_path: float) -> None:
        """Another chance of a skipped branch in the last block, from now on; for fine-tuning."""
        rise = drop_path / max(len(self.blocks) - 1, 1)
        for number, block in enumerate(self.blocks):
            assert isinstance(block, Block)
            block.drop_path = rise * number

    def forward(
        self, tokens: Tensor, rng: torch.Generator | None = None, valid: Tensor | None = None
    ) -> Tensor:
        """The tokens after all blocks and the last norm.

        Args:
            tokens: float[b n width], positions already added.
            rng: for `drop_path` while training; on the tokens' device.
            valid: bool[b n]: tokens that are attended to, at least one a clip; None: all.

        Raises:
            ValueError: branches are to be dropped and there is no generator.
        """
        for block in self.blocks:
            tokens = block(tokens, rng, valid)
        return self.norm(tokens)

    def states(
        self, tokens: Tensor, rng: torch.Generator | None = None, valid: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        """The first block's input, then each block's output, the last one behind the last norm.

        Arguments and errors are those of `forward`.
        """
        states = [tokens]
        for block in self.blocks:
            states.append(block(states[-1], rng, valid))
        return *states[:-1], self.norm(states[-1])


def start_linear(module: nn.Module) -> None:
    """Glorot's uniform and bias 0 if the module is a linear layer; for `nn.Module.apply`."""
    if isinstance(module, nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
