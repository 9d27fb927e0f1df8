"""AudioMAE's decoder: from the patches that were seen to those that were hidden, by local attention."""

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from avrep.models.masks import take_places
from avrep.models.positions import Grid
from avrep.models.sound_positions import SoundPositions
from avrep.models.transformer import Transformer, TransformerConfig, start_linear


class SpectrogramDecoderConfig(TransformerConfig):
    """Sizes of the decoder; the defaults are AudioMAE's."""

    width: int = Field(default=512, ge=1, le=65536)
    depth: int = Field(default=16, ge=1, le=1024)
    num_heads: int = Field(default=16, ge=1, le=1024)
    window: int | None = Field(default=4, ge=2, le=1024)
    """Side, in patches, of the windows that tokens attend within; in every second block windows begin
    half a window later. None: all tokens attend to all, the paper's ablation (8 blocks there)."""


class SpectrogramDecoder(nn.Module):
    """Puts a learned token at every hidden place, lets tokens attend, and predicts at those.

    Huang et al., arXiv 2207.06405, and its released code: windows of 4 x 4 patches, in blocks 2, 4,
    6, ... moved by 2 along time, never along frequency. A window that the move parts at the sound's
    ends is two there, which is what Swin's mask does.

    Blocks are those of the encoder. The released ones are of Swin v2: the norm comes after each
    branch, attention is a cosine, and its logits get a bias from the distance.

    Args:
        config: sizes.
        encoder_width: d of the encoder's tokens.
        grid: (time, frequency, 1) in places, of the sounds trained on.
        num_values: p, what is predicted at a place.
    """

    def __init__(
        self, config: SpectrogramDecoderConfig, *, encoder_width: int, grid: Grid, num_values: int
    ) -> None:
        super().__init__()
        self.window = config.window
        self.embed = nn.Linear(encoder_width, config.width)
        # One dimension, so that it is spared weight decay like every vector.
        self.mask_token = nn.Parameter(torch.empty(config.width))
        nn.init.normal_(self.mask_token, std=0.02)
        self.positions = SoundPositions("sinusoid", grid, config.width)
        self.transformer = Transformer(config)
        self.head = nn.Linear(config.width, num_values)
        self.apply(start_linear)

    def forward(
        self, tokens: Tensor, kept: Tensor, masked: Tensor, grid: Grid, own: Tensor
    ) -> Tensor:
        """What it makes of the hidden places.

        Args:
            tokens: float[b k d], the encoder's, of the places seen.
            kept: int64[b k], where these are; negative: nowhere.
            masked: int64[b m], where the hidden places are; negative: nowhere, and what is predicted
                there means nothing.
            grid: (time, frequency, 1) in places.
            own: bool[b n]: places that are not padding, which is not attended to.

        Returns:
            float[b m p].
        """
        b, n = own.shape
        seen = self.embed(tokens)
        # One place more, thrown away, for what is nowhere.
        spread = self.mask_token.to(seen.dtype).expand(b, n + 1, -1)
        where = kept.where(kept >= 0, n)[..., None].expand_as(seen)
        all_places = spread.scatter(1, where, seen)[:, :n] + self.positions(grid)
        decoded = self._decode(all_places, grid, own)
        return self.head(take_places(decoded, masked.clamp(min=0)))

    def _decode(self, tokens: Tensor, grid: Grid, own: Tensor) -> Tensor:
        if self.window is None:
            return self.transformer(tokens, None, own)
        for number, block in enumerate(self.transformer.blocks):
            shift = self.window // 2 if number % 2 else 0
            tokens = _in_windows(block, tokens, grid, own, self.window, shift)
        return self.transformer.norm(tokens)


def _in_windows(
    block: nn.Module, tokens: Tensor, grid: Grid, own: Tensor, window: int, shift: int
) -> Tensor:
    """The block on each window by itself, float[b n d] to float[b n d].

    The grid is filled up to whole windows with places that are not attended to: before its start by
    what a window moved by `shift` lacks, the rest at its ends.
    """
    t, f, _ = grid
    before = -shift % window
    time_after, band_after = -(before + t) % window, -f % window
    maps = functional.pad(tokens.unflatten(1, (t, f)), (0, 0, 0, band_after, before, time_after))
    valid = functional.pad(own.unflatten(1, (t, f)), (0, band_after, before, time_after))
    cut = _cut_windows(maps, window)
    attended = _cut_windows(valid[..., None], window)[..., 0]
    # Attention to nothing at all is not a number; what such a window gives is thrown away.
    attended = attended | ~attended.any(dim=1, keepdim=True)
    made = _join_windows(block(cut, None, attended), maps.shape[1:3], window)
    return made[:, before : before + t, :f].flatten(1, 2)


def _cut_windows(maps: Tensor, window: int) -> Tensor:
    """[b t f d] -> [b * windows, window^2, d]"""
    b, t, f, d = maps.shape
    parted = maps.reshape(b, t // window, window, f // window, window, d)
    return parted.transpose(2, 3).reshape(-1, window * window, d)


def _join_windows(windows: Tensor, sides: tuple[int, ...], window: int) -> Tensor:
    """What `_cut_windows` cut, [b t f d]."""
    t, f = sides
    parted = windows.reshape(-1, t // window, f // window, window, window, windows.shape[2])
    return parted.transpose(2, 3).reshape(-1, t, f, windows.shape[2])
