"""V-JEPA's predictor: from the encoder's features of what was seen to those of what was hidden."""

import torch
from pydantic import Field
from torch import Tensor, nn

from avrep.models.mae_decoder import join_hidden
from avrep.models.positions import Grid, build_positions
from avrep.models.transformer import Block, Transformer, TransformerConfig


class VjepaPredictorConfig(TransformerConfig):
    """Sizes of the predictor; the defaults are V-JEPA's for its ViT-L."""

    width: int = Field(default=384, ge=1, le=65536)
    """The same for every encoder, a multiple of `num_heads`."""
    depth: int = Field(default=12, ge=1, le=1024)
    num_heads: int = Field(default=16, ge=1, le=1024)
    """As many as the encoder has: 12 for ViT-B, 16 for ViT-L and ViT-H."""


class VjepaPredictor(nn.Module):
    """Puts a token at every hidden place, lets all tokens attend, and predicts features at those.

    V-JEPA (arXiv 2404.08471), released code. Each way of masking has a hidden token of its own, which
    starts at zero; positions are the separable sines. Linear layers start as a normal of deviation
    0.02 with bias 0; the last of each branch of block n, from 1, is then divided by sqrt(2 n).

    Args:
        config: sizes.
        encoder_width: d of the encoder's tokens, and of what is predicted.
        grid: (time, height, width) in places, of the clips trained on.
        num_mask_kinds: ways of masking.
    """

    def __init__(
        self, config: VjepaPredictorConfig, *, encoder_width: int, grid: Grid, num_mask_kinds: int
    ) -> None:
        super().__init__()
        self.embed = nn.Linear(encoder_width, config.width)
        self.mask_tokens = nn.Parameter(torch.zeros(num_mask_kinds, config.width))
        self.positions = build_positions("separable", grid, config.width)
        self.transformer = Transformer(config)
        self.head = nn.Linear(config.width, encoder_width)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        _divide_branches(self.transformer)

    def forward(
        self, tokens: Tensor, kept: Tensor, masked: Tensor, grid: Grid, mask_kind: int
    ) -> Tensor:
        """What it makes of the hidden places.

        Args:
            tokens: float[b k d], the encoder's, of the places seen.
            kept: int64[b k], where these are.
            masked: int64[b m], where the hidden places are.
            grid: (time, height, width) in places.
            mask_kind: number of the way of masking.

        Returns:
            float[b m d].

        Raises:
            ValueError: the places have another form.
        """
        token, table = self.mask_tokens[mask_kind], self.positions(grid)
        joined = join_hidden(self.embed(tokens), token, table, kept, masked)
        return self.head(self.transformer(joined)[:, kept.shape[1] :])


@torch.no_grad()
def _divide_branches(transformer: Transformer) -> None:
    for number, block in enumerate(transformer.blocks, start=1):
        assert isinstance(block, Block)
        for last in (block.attention.out, block.mlp[2]):
            last.get_parameter("weight").div_((2 * number) ** 0.5)
