"""What happens to a training clip, and the two published views of CVRL."""

from typing import Annotated, Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from avrep.augment.erase import EraseConfig
from avrep.augment.rand_augment import RandAugmentConfig
from avrep.augment.ranges import AreaRange, Positive, PositiveRange
from avrep.frozen import FrozenConfig

_Share = Annotated[float, Field(ge=0, le=1)]
_Finite = Annotated[float, Field(allow_inf_nan=False)]


class VideoAugmentConfig(FrozenConfig):
    """Random crop, flip, colour, blur and solarisation of clips; RandAugment and random erasing.

    The defaults are the first view of CVRL (arXiv 2008.03800; its released code) at 224 pixels.
    """

    crop_px: int = Field(default=224, ge=8, le=1024)
    """Side of the square frames that come out."""
    area: AreaRange = (0.3, 1.0)
    """Range of the crop's share of the frame's area."""
    aspect: PositiveRange = (0.5, 2.0)
    """Range of the crop's width divided by its height."""
    flip_probability: _Share = 0.5
    """Chance of a mirror image, left for right."""
    jitter_probability: _Share = 0.8
    """Chance that the four colour changes below are made, in random order."""
    brightness: _Share = 0.8
    """Colours are scaled by a factor uniform in [1 - x, 1 + x]."""
    contrast: _Share = 0.8
    """Distances from the clip's mean colour are scaled by a factor uniform in [1 - x, 1 + x]."""
    saturation: _Share = 0.8
    """Saturation is scaled by a factor uniform in [1 - x, 1 + x]."""
    hue: float = Field(default=0.2, ge=0, le=0.5)
    """Hue is turned by a part of the colour circle uniform in [-x, x]."""
    gray_probability: _Share = 0.2
    """Chance that colours become gray."""
    blur_probability: _Share = 1.0
    """Chance of a Gaussian blur."""
    blur_sigma: PositiveRange = (0.1, 2.0)
    """Range of the blur's standard deviation, in pixels of the output."""
    solarize_probability: _Share = 0.0
    """Chance that values from 0.5 up are inverted."""
    mean: tuple[_Finite, _Finite, _Finite] = (0.5, 0.5, 0.5)
    """Subtracted from the red, green and blue values, which lie in [0, 1]."""
    std: tuple[Positive, Positive, Positive] = (0.5, 0.5, 0.5)
    """What they are then divided by; with the defaults the output lies in [-1, 1]."""
    rand_augment: RandAugmentConfig | None = None
    """Of whole frames, before they are cropped; None: none."""
    erase: EraseConfig | None = None
    """Of what comes out, after all else; None: none."""

    @model_serializer(mode="wrap")
    def _say_what_there_is(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # Digests of configs from before these two came still hold.
        return {name: value for name, value in dump(self).items() if value is not None}

    @property
    def blur_radius_px(self) -> int:
        """Half the kernel's length without its middle: 11 (23 taps) at 224 pixels, 5 at 112."""
        return self.crop_px // 10 // 2


def cvrl_view(view: Literal[1, 2], crop_px: int) -> VideoAugmentConfig:
    """One of the two augmentations of CVRL's released code; they differ in blur and solarisation.

    Args:
        view: 1, always blurred; or 2, blurred with chance 0.1 and solarised with chance 0.2.
        crop_px: side of the square frames that come out.
    """
    if view == 1:
        return VideoAugmentConfig(crop_px=crop_px)
    return VideoAugmentConfig(crop_px=crop_px, blur_probability=0.1, solarize_probability=0.2)
