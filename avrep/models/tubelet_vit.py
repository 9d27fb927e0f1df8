"""Vision transformers over tubelets, little boxes of a few frames: a config, and the encoder."""

from typing import Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional

from avrep.frozen import FrozenConfig
from avrep.models.features import Encoder, Features, check_video
from avrep.models.masks import take_places
from avrep.models.positions import Grid, PositionKind, build_positions
from avrep.models.seeded import seeded
from avrep.models.transformer import VIT_SIZES, Transformer, VitSize


class TubeletVitConfig(FrozenConfig):
    """Which vision transformer over tubelets; the defaults are VideoMAE's ViT-B."""

    kind: Literal["tubelet_vit"] = "tubelet_vit"
    size: VitSize = "base"
    """tiny to huge are the published ViT-Ti 192-d, ViT-S 384-d, ViT-B 768-d, ViT-L 1024-d and ViT-H
    1280-d: 5.8, 21.9, 86.2, 303.9 and 631.6 M parameters with cubes of 2 x 16 x 16. micro is avrep's
    own, 96-d and 4 blocks, for tests and the CPU."""
    patch_px: int = Field(default=16, ge=1, le=64)
    """Height and width of a tubelet. MAE-ST's ViT-H has 14."""
    tubelet_frames: int = Field(default=2, ge=1, le=16)
    num_frames: int = Field(default=16, ge=1, le=4096)
    """Frames of the clips that it is trained on, a multiple of `tubelet_frames`."""
    crop_px: int = Field(default=224, ge=8, le=1024)
    """Side of their square frames, a multiple of `patch_px`."""
    positions: PositionKind = "sinusoid"
    """sinusoid: VideoMAE's fixed table. separable: V-JEPA's, a share for each axis. learned: MAE-ST's,
    space plus time. Clips of another length or size are taken too: the fixed ones have a table for
    every grid, the learned one is interpolated."""
    drop_path: float = Field(default=0.0, ge=0, lt=1)
    """Chance that a clip skips a branch of the last block, for fine-tuning; 0 in pretraining."""
    version: Literal[1] = 1
    """Goes up when a mend would change what old weights compute."""

    @model_validator(mode="after")
    def _tubelets_fit(self) -> Self:
        if self.num_frames % self.tubelet_frames:
            raise ValueError(
                f"num_frames is {self.num_frames}; it must be a multiple of tubelet_frames, "
                f"{self.tubelet_frames}"
            )
        if self.crop_px % self.patch_px:
            raise ValueError(
                f"crop_px is {self.crop_px}; it must be a multiple of patch_px, {self.patch_px}"
            )
        return self

    @property
    def tubelet(self) -> Grid:
        """Frames, height and width of one tubelet."""
        return self.tubelet_frames, self.patch_px, self.patch_px

    @property
    def grid(self) -> Grid:
        """Places along time, height and width of the clips that it is trained on."""
        side = self.crop_px // self.patch_px
        return self.num_frames // self.tubelet_frames, side, side


class TubeletVit(Encoder):
    """A clip is cut into tubelets, each becomes a token, and the tokens attend to each other.

    The encoder of VideoMAE (arXiv 2203.12602); with learned positions, of MAE-ST (2205.09113); with
    separable ones, of V-JEPA (2404.08471), whose linear layers start as a normal of deviation 0.02.
    There is no class token: the clip's vector is the mean of the tokens after the last norm.
    VideoMAE has none either; MAE-ST has one, but no loss is put on it, and its fine-tuning too takes
    the mean of the others. The convolution starts as torch's own, as in VideoMAE; MAE-ST starts it as
    Glorot's uniform, twice as wide for tubelets of 2 x 16 x 16.

    Args:
        config: sizes.
    """

    def __init__(self, config: TubeletVitConfig) -> None:
        sizes = VIT_SIZES[config.size]
        super().__init__(sizes.width)
        self.config = config
        self.embed = nn.Conv3d(3, sizes.width, kernel_size=config.tubelet, stride=config.tubelet)
        self.positions = build_positions(config.positions, config.grid, sizes.width)
        self.transformer = Transformer(sizes, config.drop_path)

    def forward(
        self, clips: Tensor, /, kept: Tensor | None = None, rng: torch.Generator | None = None
    ) -> Features:
        """The features of whole clips, or of what is kept of them.

        Args:
            clips: float[b 3 t h w], t a multiple of the tubelet's frames, h and w of its side.
            kept: int64[b n], distinct places in the flattened grid; only their tokens go through
                the blocks, so hidden ones cost nothing. None: all.
            rng: for `drop_path` while training; on the clips' device.

        Raises:
            ValueError: the input has another form.
        """
        check_video(clips)
        self._check_tubelets(clips)
        t, h, w = (
            side // own for side, own in zip(clips.shape[2:], self.config.tubelet, strict=True)
        )
        grid = t, h, w
        positions = self.positions(grid)
        # Under autocast the sum is float32 again, and so is what runs past the blocks' branches.
        if kept is None:
            tokens = self.embed(clips).flatten(2).transpose(1, 2) + positions
        else:
            own = take_places(positions.expand(len(clips), -1, -1), kept)
            tokens = self._embed_kept(clips, grid, kept) + own
        tokens = self.transformer(tokens, rng)
        return Features(tokens=tokens, grid=grid, kept=kept, pooled=tokens.mean(dim=1))

    def blocks(self) -> tuple[nn.Module, ...]:
        return tuple(self.transformer.blocks)

    def behind_blocks(self) -> tuple[nn.Module, ...]:
        return (self.transformer.norm,)

    def _embed_kept(self, clips: Tensor, grid: Grid, kept: Tensor) -> Tensor:
        """What `embed` makes of some tubelets, float[b n width], without the others being looked at."""
        tubelets = clips
        for axis, side in enumerate(self.config.tubelet, start=2):
            tubelets = tubelets.unfold(axis, side, side)
        rows = torch.arange(len(clips), device=kept.device)[:, None]
        # A view until here: of [b 3 t h w and a tubelet] only what is kept is copied.
        _, h, w = grid
        own = tubelets[rows, :, kept // (h * w), kept // w % h, kept % w].flatten(2)
        return functional.linear(own, self.embed.weight.flatten(1), self.embed.bias)

    def _check_tubelets(self, clips: Tensor) -> None:
        if any(got % side for got, side in zip(clips.shape[2:], self.config.tubelet, strict=True)):
            t, h, w = self.config.tubelet
            raise ValueError(
                f"tubelets of {t} frames, {h} x {w} pixels want clips of whole tubelets; "
                f"got {clips.shape[2]} frames of {clips.shape[3]} x {clips.shape[4]}"
            )


def build_tubelet_vit(config: TubeletVitConfig, seed: int) -> TubeletVit:
    """The encoder with fresh weights, a function of (config, seed); global generators are untouched.

    Args:
        config: which encoder.
        seed: the run's seed.
    """
    with seeded(seed, "tubelet_vit"):
        return TubeletVit(config)
