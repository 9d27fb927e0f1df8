"""The random numbers of a batch's augmentation, drawn on the host, one generator per clip.

A clip's numbers come from its own generator alone, so they do not depend on its neighbours in the
batch; and each clip draws all of them, used or not, so that changing one probability moves nothing
else.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import numpy.typing as npt

from avrep.augment.erase import NOTHING, draw_erased
from avrep.augment.rand_augment import draw_operations
from avrep.augment.video_config import VideoAugmentConfig

_BOX_TRIES = 10

Flags = Annotated[npt.NDArray[np.bool_], "b"]
Floats = Annotated[npt.NDArray[np.float32], "b"]


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoParams:
    """What `augment_video` does to each clip of a batch."""

    size_px: Annotated[npt.NDArray[np.int32], "b 2"]
    """Height and width of the clip's own frames."""
    boxes_px: Annotated[npt.NDArray[np.int32], "b 4"]
    """Crop as (top, left, height, width), inside the clip's own frames."""
    flip: Flags
    jitter: Flags
    jitter_order: Annotated[npt.NDArray[np.int64], "b 4"]
    """Order of the colour changes: 0 brightness, 1 contrast, 2 saturation, 3 hue."""
    brightness: Floats
    """Factor."""
    contrast: Floats
    """Factor."""
    saturation: Floats
    """Factor."""
    hue: Floats
    """Part of the colour circle, in [-0.5, 0.5]."""
    gray: Flags
    blur: Flags
    blur_sigma_px: Floats
    solarize: Flags
    operations: Annotated[npt.NDArray[np.int64], "b n"]
    """RandAugment's, in their order, see `rand_augment.draw_operations`; n is 0 where there is none."""
    strengths: Annotated[npt.NDArray[np.float64], "b n"]
    """Of the operations."""
    erased_px: Annotated[npt.NDArray[np.int32], "b 4"]
    """Rectangle of the frames that come out as (top, left, height, width); no area: none is erased."""
    noise_seed: Annotated[npt.NDArray[np.int64], "b"]
    """Of the noise in the rectangle."""


def draw_video_params(
    config: VideoAugmentConfig,
    size_px: Annotated[npt.NDArray[np.int32], "b 2"],
    rngs: Sequence[np.random.Generator],
) -> VideoParams:
    """Draw the parameters of a batch of clips.

    Args:
        config: the laws to draw from.
        size_px: height and width of each clip's own frames; padding around them is never cropped.
        rngs: one generator per clip.

    Raises:
        ValueError: the number of generators is not the number of clips, or a size is below 1.
    """
    if len(rngs) != len(size_px):
        raise ValueError(f"{len(size_px)} clips but {len(rngs)} generators")
    if len(size_px) and size_px.min() < 1:
        raise ValueError(f"sizes must be at least 1 pixel, got {size_px.min()}")
    # Per clip: five chances, five strengths, the order, and the box, which may take more draws; then
    # what came later, of which a config that has none draws nothing.
    chances = np.array([rng.random(5) for rng in rngs]).reshape(-1, 5)
    strengths = np.array([rng.random(5) for rng in rngs]).reshape(-1, 5)
    orders = np.array([rng.permutation(4) for rng in rngs], dtype=np.int64).reshape(-1, 4)
    boxes = [
        random_box(int(height), int(width), config, rng)
        for (height, width), rng in zip(size_px, rngs, strict=True)
    ]
    operations, how_strong = _draw_operations(config, rngs)
    erased = [
        (NOTHING, 0) if config.erase is None else draw_erased(config.erase, config.crop_px, rng)
        for rng in rngs
    ]
    flip, jitter, gray, blur, solarize = (chances < _probabilities(config)).T
    low, high = _strength_ranges(config)
    brightness, contrast, saturation, hue, sigma_px = (
        (low + (high - low) * strengths).astype(np.float32).T
    )
    return VideoParams(
        size_px=np.asarray(size_px, np.int32),
        boxes_px=np.array(boxes, dtype=np.int32).reshape(-1, 4),
        flip=flip,
        jitter=jitter,
        jitter_order=orders,
        brightness=brightness,
        contrast=contrast,
        saturation=saturation,
        hue=hue,
        gray=gray,
        blur=blur,
        blur_sigma_px=sigma_px,
        solarize=solarize,
        operations=operations,
        strengths=how_strong,
        erased_px=np.array([box for box, _ in erased], np.int32).reshape(-1, 4),
        noise_seed=np.array([seed for _, seed in erased], np.int64),
    )


def random_box(
    height_px: int, width_px: int, config: VideoAugmentConfig, rng: np.random.Generator
) -> tuple[int, int, int, int]:
    """A random crop as (top, left, height, width) in whole pixels.

    The usual law of random resized crops: up to ten times, draw an area share uniformly and an
    aspect uniformly in its logarithm, and take the first box that fits, at a uniform place. If none
    fits, take the largest central box whose aspect is in range. CVRL's released code leaves this to
    TensorFlow, whose law is uniform in the aspect and tries a hundred times.
    """
    log_aspects = np.log(config.aspect)
    for _ in range(_BOX_TRIES):
        area = height_px * width_px * rng.uniform(*config.area)
        aspect = math.exp(rng.uniform(*log_aspects))
        width, height = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < width <= width_px and 0 < height <= height_px:
            top = int(rng.integers(0, height_px - height + 1))
            left = int(rng.integers(0, width_px - width + 1))
            return top, left, height, width
    return central_box(height_px, width_px, config.aspect)


def central_box(
    height_px: int, width_px: int, aspect: tuple[float, float]
) -> tuple[int, int, int, int]:
    """The largest central crop whose width by height is in range, as (top, left, height, width)."""
    narrowest, widest = aspect
    width = min(width_px, max(1, round(height_px * widest)))
    height = min(height_px, max(1, round(width_px / narrowest)))
    return (height_px - height) // 2, (width_px - width) // 2, height, width


def _draw_operations(
    config: VideoAugmentConfig, rngs: Sequence[np.random.Generator]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    if config.rand_augment is None:
        return np.zeros((len(rngs), 0), np.int64), np.zeros((len(rngs), 0))
    law = config.rand_augment
    drawn = [draw_operations(law, rng) for rng in rngs]
    operations = np.array([numbers for numbers, _ in drawn], np.int64)
    strengths = np.array([own for _, own in drawn], np.float64)
    form = (len(rngs), law.num_operations)
    return operations.reshape(form), strengths.reshape(form)


def _probabilities(config: VideoAugmentConfig) -> npt.NDArray[np.float64]:
    return np.array(
        [
            config.flip_probability,
            config.jitter_probability,
            config.gray_probability,
            config.blur_probability,
            config.solarize_probability,
        ]
    )


def _strength_ranges(
    config: VideoAugmentConfig,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    factors = np.array([config.brightness, config.contrast, config.saturation])
    sigma_low, sigma_high = config.blur_sigma
    low = np.array([*(1 - factors), -config.hue, sigma_low])
    high = np.array([*(1 + factors), config.hue, sigma_high])
    return low, high
