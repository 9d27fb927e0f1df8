"""Convolutional video encoders: a config, and the encoder it builds."""

from typing import Literal

from pydantic import Field
from torch import Tensor, nn

from avrep.frozen import FrozenConfig
from avrep.models.features import Encoder, Features, check_video
from avrep.models.r3d_18 import R3d18
from avrep.models.r3d_50 import build_r3d_50
from avrep.models.seeded import seeded


class VideoConvConfig(FrozenConfig):
    """Which convolutional video encoder."""

    kind: Literal["video_conv"] = "video_conv"
    arch: Literal["r3d_50", "r3d_18", "r3d_18_fast"] = "r3d_50"
    """r3d_50: CVRL's, 31.7 M parameters, 2048-d. r3d_18: torchvision's and RSPNet's, 33.2 M, 512-d.
    r3d_18_fast: R3D-18 behind CVRL's stem and pool, some six times cheaper, for the CPU."""
    base_width: int = Field(default=64, ge=4, le=256)
    """Channels after the stem; every other width is in proportion. The papers have 64."""
    version: Literal[1] = 1
    """Goes up when a mend would change what old weights compute."""


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
