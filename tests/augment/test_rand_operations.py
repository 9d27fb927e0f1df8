"""Proves each of RandAugment's operations on photographs against Pillow, which the released codes call
frame by frame; at the strengths that are drawn, at their ends, and on what is hard: a flat picture.
"""

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance, ImageOps
from sklearn.datasets import load_sample_image

from avrep.augment.rand_augment import NOT_MADE, OPERATIONS, RandAugmentConfig, draw_operations
from avrep.augment.rand_operations import apply_operations

STRENGTHS = [-1.0, -0.78, -0.7, -0.61, -0.3, 0.0, 0.3, 0.61, 0.7, 0.78, 1.0]
POINTWISE = {"invert", "posterize", "solarize", "solarize_add", "equalize"}
"""Without fractions of a level, so equal."""
MOVED = {"rotate", "shear_x", "shear_y", "translate_x", "translate_y"}
"""Equal but for the last digits of coordinates."""


def photographs(height: int = 90, width: int = 122) -> torch.Tensor:
    """uint8[3 3 h w]: two photographs, and one of them dark and flat."""
    china, flower = (
        np.array(Image.fromarray(load_sample_image(name)).resize((width, height)))
        for name in ("china.jpg", "flower.jpg")
    )
    frames = np.stack([china, flower, china // 4 + 20])
    return torch.from_numpy(frames).permute(0, 3, 1, 2)


def made(frames: torch.Tensor, name: str, strength: float) -> np.ndarray:
    """float[t h w 3]"""
    changed = apply_operations(frames, np.array([OPERATIONS.index(name)]), np.array([strength]))
    assert changed.shape == frames.shape
    assert changed.dtype == torch.uint8
    return changed.permute(0, 2, 3, 1).numpy().astype(np.float64)


def affine(image: Image.Image, matrix: tuple[float, ...]) -> Image.Image:
    return image.transform(
        image.size,
        Image.Transform.AFFINE,
        matrix,
        resample=Image.Resampling.BICUBIC,
        fillcolor=(128, 128, 128),
    )


def solarize_add(image: Image.Image, added: int) -> Image.Image:
    return image.point([min(255, n + added) if n < 128 else n for n in range(256)] * 3)


def posterize(image: Image.Image, bits: int) -> Image.Image:
    # As Pillow did before it refused 0.
    return ImageOps.posterize(image, bits) if bits else Image.new("RGB", image.size)


def of_pillow(image: Image.Image, name: str, strength: float) -> Image.Image:
    """What rand-m?-inc1 does at the magnitude, restated with Pillow's own functions."""
    magnitude, sign = 10 * abs(strength), -1 if strength < 0 else 1
    factor = 1 + sign * magnitude / 10 * 0.9
    part = sign * magnitude / 10
    changes: dict[str, Callable[[Image.Image], Image.Image]] = {
        "autocontrast": ImageOps.autocontrast,
        "equalize": ImageOps.equalize,
        "invert": ImageOps.invert,
        "rotate": lambda image: image.rotate(
            part * 30, resample=Image.Resampling.BICUBIC, fillcolor=(128, 128, 128)
        ),
        "posterize": partial(posterize, bits=4 - int(magnitude / 10 * 4)),
        "solarize": partial(ImageOps.solarize, threshold=256 - int(magnitude / 10 * 256)),
        "solarize_add": partial(solarize_add, added=min(128, int(magnitude / 10 * 110))),
        "colour": lambda image: ImageEnhance.Color(image).enhance(factor),
        "contrast": lambda image: ImageEnhance.Contrast(image).enhance(factor),
        "brightness": lambda image: ImageEnhance.Brightness(image).enhance(factor),
        "sharpness": lambda image: ImageEnhance.Sharpness(image).enhance(factor),
        "shear_x": partial(affine, matrix=(1, part * 0.3, 0, 0, 1, 0)),
        "shear_y": partial(affine, matrix=(1, 0, 0, part * 0.3, 1, 0)),
        "translate_x": partial(affine, matrix=(1, 0, part * 0.45 * image.width, 0, 1, 0)),
        "translate_y": partial(affine, matrix=(1, 0, 0, 0, 1, part * 0.45 * image.height)),
    }
    return changes[name](image)


@pytest.mark.parametrize("strength", STRENGTHS)
@pytest.mark.parametrize("name", OPERATIONS)
def test_equals_pillow_frame_by_frame(name: str, strength: float) -> None:
    frames = photographs()
    theirs = np.stack(
        [
            np.asarray(of_pillow(Image.fromarray(frame), name, strength), np.float64)
            for frame in frames.permute(0, 2, 3, 1).numpy()
        ]
    )
    ours = made(frames, name, strength)
    # Pillow cuts off fractions, some of them before it goes on.
    difference = np.abs(ours - theirs)
    assert difference.max() <= (0 if name in POINTWISE else 2)
    assert difference.mean() <= (0 if name in POINTWISE else 0.01 if name in MOVED else 0.6)
    if abs(strength) >= 0.6 or name in {"autocontrast", "equalize", "invert"}:
        assert np.abs(ours - frames.permute(0, 2, 3, 1).numpy()).mean() > 1


@pytest.mark.parametrize("name", OPERATIONS)
def test_a_flat_picture_is_no_trouble(name: str) -> None:
    frames = torch.full((2, 3, 20, 30), 77, dtype=torch.uint8)
    flat = Image.fromarray(np.full((20, 30, 3), 77, np.uint8))
    expected = np.asarray(of_pillow(flat, name, 0.7), np.float64)
    for ours in made(frames, name, 0.7):
        np.testing.assert_allclose(ours, expected, atol=1)


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("size", [(1, 1), (2, 3), (1, 9)])
def test_the_smallest_frames_are_no_trouble(name: str, size: tuple[int, int]) -> None:
    frames = torch.randint(0, 256, (2, 3, *size), dtype=torch.uint8)
    assert made(frames, name, -0.7).shape == (2, *size, 3)


@pytest.mark.parametrize("name", OPERATIONS)
def test_frames_are_treated_alike_and_left_as_they_are(name: str) -> None:
    frames = photographs()[:1].repeat(4, 1, 1, 1)
    before = frames.clone()
    ours = made(frames, name, 0.66)
    assert torch.equal(frames, before)
    assert (ours == ours[:1]).all()


def test_operations_are_made_one_after_the_other() -> None:
    names, strengths = ["rotate", "invert", "posterize", "colour"], np.array([0.7, 0.7, -0.6, -0.8])
    numbers = np.array([OPERATIONS.index(name) for name in names])
    frames = photographs()
    expected = frames
    for number, strength in zip(numbers, strengths, strict=True):
        expected = apply_operations(expected, np.array([number]), np.array([strength]))
    assert torch.equal(apply_operations(frames, numbers, strengths), expected)
    numbers[1:3] = NOT_MADE
    two = apply_operations(frames, numbers[[0, 3]], strengths[[0, 3]])
    assert torch.equal(apply_operations(frames, numbers, strengths), two)


def test_what_is_not_made_changes_nothing() -> None:
    drawn = draw_operations(RandAugmentConfig(probability=0), np.random.default_rng(0))
    frames = photographs()
    assert apply_operations(frames, *drawn) is frames
