"""The light decoder of masked autoencoders: from what was seen to what was hidden."""

import torch
from pydantic import Field
from torch import Tensor, nn

from avrep.models.masks import take_places
from avrep.models.positions import Grid, PositionKind, build_positions
from avrep.models.transformer import Transformer, TransformerConfig, start_linear


class MaeDecoderConfig(TransformerConfig):
    """Sizes of the decoder; the defaults are VideoMAE's for its ViT-B."""

    width: int = Field(default=384, ge=1, le=65536)
    """VideoMAE: half of the encoder's width, a multiple of `num_heads`. MAE-ST: 512."""
    depth: int = Field(default=4, ge=1, le=1024)
    num_heads: int = Field(default=6, ge=1, le=1024)


class MaeDecoder(nn.Module):
    """Puts a learned token at every hidden place, lets all tokens attend, and predicts at those.

    VideoMAE (arXiv 2203.12602) and MAE-ST (2205.09113), released code. Attention does not know the
    order of its tokens, so it does not matter that the hidden ones come last.

    Args:
        config: sizes.
        encoder_width: d of the encoder's tokens.
        grid: (time, height, width) in places, of the clips trained on.
        num_values: v, what is predicted at a place.
        positions: "sinusoid" is VideoMAE's, "learned" MAE-ST's; tables of the decoder's own.
        embed_bias: whether the layer from the encoder's width has a bias: MAE-ST's has, VideoMAE's
            has not.
    """

    def __init__(
        self,
        config: MaeDecoderConfig,
        *,
        encoder_width: int,
        grid: Grid,
        num_values: int,
        positions: PositionKind,
        embed_bias: bool,
    ) -> None:
        super().__init__()
        self.embed = nn.Linear(encoder_width, config.width, bias=embed_bias)
        # One dimension, so that it is spared weight decay like every vector.
        self.mask_token = nn.Parameter(torch.empty(config.width))
        # VideoMAE's normal is cut at one deviation, MAE-ST's is not cut.
        nn.init.trunc_normal_(self.mask_token, std=0.02, a=-0.02, b=0.02)
        self.positions = build_positions(positions, grid, config.width)
        self.transformer = Transformer(config)
        self.head = nn.Linear(config.width, num_values)
        self.apply(start_linear)

    def forward(self, tokens: Tensor, kept: Tensor, masked: Tensor, grid: Grid) -> Tensor:
        """What it makes of the hidden places.

        Args:
            tokens: float[b k d], the encoder's, of the places seen.
            kept: int64[b k], where these are.
            masked: int64[b m], where the hidden places are.
            grid: (time, height, width) in places.

        Returns:
            float[b m v].

        Raises:
            ValueError: the places have another form.
        """
        seen, table = self.embed(tokens), self.positions(grid)
        decoded = self.transformer(join_hidden(seen, self.mask_token, table, kept, masked))
        return self.head(decoded[:, kept.shape[1] :])


def join_hidden(
    seen: Tensor, mask_token: Tensor, table: Tensor, kept: Tensor, masked: Tensor
) -> Tensor:
    """The tokens of what was seen, then `mask_token` for each hidden place, all with their positions.

    Args:
        seen: float[b k width].
        mask_token: float[width].
        table: float[1 n width], of all places.
        kept: int64[b k], where those seen are.
        masked: int64[b m], where the hidden places are.

    Returns:
        float[b k+m width].

    Raises:
        ValueError: the places have another form.
    """
    table = table.expand(seen.shape[0], -1, -1)
    return torch.cat(
        [seen + take_places(table, kept), mask_token + take_places(table, masked)], dim=1
    )
