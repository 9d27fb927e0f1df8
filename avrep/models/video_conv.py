"""Convolutional video encoders: a config, and the encoder it builds."""

from typing import Literal, Self

from pydantic import Field, model_validator
from torch import Tensor, nn

from avrep.frozen import FrozenConfig
from avrep.models.c3d import C3d
from avrep.models.features import Encoder, Features, check_video
from avrep.models.pytorchvideo_trunks import X3d, build_pytorchvideo_trunk
from avrep.models.r2plus1d_18 import build_r2plus1d_18
from avrep.models.r3d_18 import R3d18
from avrep.models.r3d_50 import build_r3d_50
from avrep.models.s3d_g import S3dG
from avrep.models.seeded import seeded


class VideoConvConfig(FrozenConfig):
    """Which convolutional video encoder."""

    kind: Literal["video_conv"] = "video_conv"
    arch: Literal[
        "r3d_50",
        "r3d_18",
        "r3d_18_fast",
        "r2plus1d_18",
        "slow_r50",
        "r2plus1d_50",
        "slowfast_r50",
        "x3d_m",
        "c3d",
        "s3d_g",
    ] = "r3d_50"
    """Parameters without a head, and d. r3d_50: CVRL's, 31.7 M, 2048-d. r3d_18: torchvision's and
    RSPNet's, 33.2 M, 512-d. r3d_18_fast: R3D-18 behind CVRL's stem and pool, some six times cheaper,
    for the CPU. r2plus1d_18: torchvision's, 31.3 M, 512-d. From pytorchvideo: slow_r50, 31.6 M,
    2048-d; r2plus1d_50, 27.3 M, 2048-d; slowfast_r50, 33.6 M, 2304-d, clips of a multiple of 4
    frames; x3d_m, 2.1 M, 432-d. c3d: 27.7 M, 512-d, no batch norm. s3d_g: 9.1 M, 1024-d."""
    base_width: int = Field(default=64, ge=4, le=256)
    """Channels after the stem, of R3D; every other width is in proportion. The papers have 64, and
    the other networks have their published widths only."""
    version: Literal[1] = 1
    """Goes up when a mend would change what old weights compute."""

    @model_validator(mode="after")
    def _width_fits(self) -> Self:
        if self.base_width != 64 and not self.arch.startswith("r3d"):
            raise ValueError(
                f"base_width is {self.base_width}; {self.arch} has its published widths only: "
                f"leave base_width out, or take r3d_50, r3d_18 or r3d_18_fast"
            )
        return self


class VideoConv(Encoder):
    """Tokens are the last feature map's places; the clip's vector is their mean.

    The mean is the global average pool that CVRL's and RSPNet's heads sit on.

    Args:
        trunk: float[b 3 t h w] -> float[b d t' h' w'].
        width: d.
    """

    def __init__(self, trunk: nn.Module, width: int) -> None:
        super().__init__(width)
        self.trunk = trunk

    def blocks(self) -> tuple[nn.Module, ...]:
        return _stages(self.trunk)

    def behind_blocks(self) -> tuple[nn.Module, ...]:
        return (self.trunk.conv5,) if isinstance(self.trunk, X3d) else ()

    def forward(self, clips: Tensor, /) -> Features:
        """The features of float[b 3 t h w], in the dtype that the trunk computes in.

        Raises:
            ValueError: the input has another form.
        """
        check_video(clips)
        maps: Tensor = self.trunk(clips)
        _, _, t, h, w = maps.shape
        return Features(
            tokens=maps.flatten(2).transpose(1, 2),
            grid=(t, h, w),
            pooled=maps.mean(dim=(2, 3, 4)),
        )


def _stages(trunk: nn.Module) -> tuple[nn.Module, ...]:
    """What is behind the stem, a run of blocks at one size; of S3D-G its Inception blocks, of C3D, whose
    layers have nothing inside, none.
    """
    match trunk:
        case R3d18():
            return trunk.layer1, trunk.layer2, trunk.layer3, trunk.layer4
        case S3dG():
            return trunk.blocks
        case C3d():
            return ()
        case nn.Sequential():
            parts = trunk
        case X3d():
            parts = trunk.stages
        case _:
            # pytorchvideo's Net, or SlowFast.
            parts = trunk.get_submodule("blocks")
    return tuple(parts.children())[1:]


def build_video_conv(config: VideoConvConfig, seed: int) -> VideoConv:
    """The encoder with fresh weights, a function of (config, seed); global generators are untouched.

    Args:
        config: which encoder.
        seed: the run's seed.
    """
    with seeded(seed, "video_conv"):
        match config.arch:
            case "r3d_50":
                return VideoConv(build_r3d_50(config.base_width), 32 * config.base_width)
            case "r3d_18" | "r3d_18_fast":
                trunk = R3d18(config.base_width, fast_stem=config.arch == "r3d_18_fast")
                return VideoConv(trunk, 8 * config.base_width)
            case "r2plus1d_18":
                return VideoConv(build_r2plus1d_18(), 512)
            case "c3d":
                return VideoConv(C3d(), 512)
            case "s3d_g":
                return VideoConv(S3dG(), 1024)
            case _:
                return VideoConv(*build_pytorchvideo_trunk(config.arch))
