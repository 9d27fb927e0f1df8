"""Proves the drawn parameters: boxes inside the frame and in range, their law against torchvision's,
the last resort by hand, chances and ranges over many draws, and one generator per clip.
"""

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy import stats
from torchvision.transforms import RandomResizedCrop

from avrep.augment.erase import EraseConfig
from avrep.augment.rand_augment import RandAugmentConfig
from avrep.augment.video_config import VideoAugmentConfig, cvrl_view
from avrep.augment.video_params import VideoParams, draw_video_params, random_box

CONFIG = VideoAugmentConfig()
WITH_LATER = VideoAugmentConfig(rand_augment=RandAugmentConfig(), erase=EraseConfig())


def many(config: VideoAugmentConfig, draws: int, seed: int = 0) -> VideoParams:
    size_px = np.full((draws, 2), (48, 64), np.int32)
    return draw_video_params(config, size_px, np.random.default_rng(seed).spawn(draws))


@given(
    height=st.integers(1, 3000),
    width=st.integers(1, 3000),
    low_area=st.floats(0.01, 1),
    low_aspect=st.floats(0.2, 1),
    seed=st.integers(0, 2**32),
)
def test_boxes_lie_inside_and_in_range(
    height: int, width: int, low_area: float, low_aspect: float, seed: int
):
    config = VideoAugmentConfig(area=(low_area, 1.0), aspect=(low_aspect, 1 / low_aspect))
    top, left, h, w = random_box(height, width, config, np.random.default_rng(seed))
    assert top >= 0
    assert left >= 0
    assert 1 <= h <= height - top
    assert 1 <= w <= width - left
    # Sides are rounded to whole pixels, so true sides lie within half a pixel, except that no side
    # is cut below one pixel.
    assert (w + 0.5) / max(h - 0.5, 1e-9) >= low_aspect * (1 - 1e-9)
    assert max(w - 0.5, 1e-9) / (h + 0.5) <= 1 / low_aspect * (1 + 1e-9)
    central = (top, left) == ((height - h) // 2, (width - w) // 2) and (h == height or w == width)
    if not central:
        assert (h + 0.5) * (w + 0.5) >= low_area * height * width * (1 - 1e-9)


@pytest.mark.parametrize(
    ("size", "area", "expected"),
    [
        # Nothing of 90 % of the area fits: the largest central box with aspect in [1/2, 2].
        ((10, 100), 0.9, (0, 40, 10, 20)),
        ((100, 10), 0.9, (40, 0, 20, 10)),
        ((1, 1000), 0.9, (0, 499, 1, 2)),
        ((1, 1), 1.0, (0, 0, 1, 1)),
    ],
)
def test_last_resort_by_hand(
    size: tuple[int, int], area: float, expected: tuple[int, int, int, int]
):
    config = VideoAugmentConfig(area=(area, 1.0))
    for seed in range(20):
        assert random_box(*size, config, np.random.default_rng(seed)) == expected


def test_box_law_equals_torchvision():
    draws, (height, width) = 4000, (240, 320)
    rng = np.random.default_rng(0)
    ours = np.array([random_box(height, width, CONFIG, rng) for _ in range(draws)])
    torch.manual_seed(0)
    frame = torch.empty(3, height, width)
    theirs = np.array(
        [RandomResizedCrop.get_params(frame, [0.3, 1.0], [0.5, 2.0]) for _ in range(draws)]
    )

    def features(boxes: np.ndarray) -> dict[str, np.ndarray]:
        top, left, h, w = boxes.T
        return {"top": top, "left": left, "area": h * w, "aspect": w / h}

    for name, values in features(ours).items():
        assert stats.kstest(values, features(theirs)[name]).pvalue > 1e-4, name


@pytest.mark.parametrize(
    ("view", "blur", "solarize"), [(1, 1.0, 0.0), (2, 0.1, 0.2)], ids=["view1", "view2"]
)
def test_chances_of_the_published_views(view: int, blur: float, solarize: float):
    draws = 4000
    params = many(cvrl_view(1 if view == 1 else 2, 112), draws)
    expected = {"flip": 0.5, "jitter": 0.8, "gray": 0.2, "blur": blur, "solarize": solarize}
    for name, probability in expected.items():
        count = int(getattr(params, name).sum())
        if probability in (0.0, 1.0):
            assert count == probability * draws
        else:
            assert stats.binomtest(count, draws, probability).pvalue > 1e-4, name


def test_ranges_of_the_strengths():
    params = many(CONFIG, 4000)
    ranges = {
        "brightness": (0.2, 1.8),
        "contrast": (0.2, 1.8),
        "saturation": (0.2, 1.8),
        "hue": (-0.2, 0.2),
        "blur_sigma_px": (0.1, 2.0),
    }
    for name, (low, high) in ranges.items():
        values = getattr(params, name)
        assert values.dtype == np.float32
        assert low - 1e-6 <= values.min()
        assert values.max() <= high + 1e-6
        assert stats.kstest(values, "uniform", args=(low, high - low)).pvalue > 1e-4, name


def test_every_order_of_the_colour_changes_is_as_likely():
    orders = many(CONFIG, 4800).jitter_order
    assert (np.sort(orders, axis=1) == np.arange(4)).all()
    counts = np.unique(orders, axis=0, return_counts=True)[1]
    assert len(counts) == 24
    assert stats.chisquare(counts).pvalue > 1e-4


def test_draws_are_not_tied_to_one_another():
    params = many(VideoAugmentConfig(blur_probability=0.5, solarize_probability=0.5), 3000)
    columns = [
        params.flip, params.jitter, params.gray, params.blur, params.solarize, params.brightness,
        params.contrast, params.saturation, params.hue, params.blur_sigma_px,
    ]  # fmt: skip
    correlation = np.corrcoef(np.array(columns, dtype=np.float64))
    assert np.abs(correlation - np.eye(len(columns))).max() < 0.08


@pytest.mark.parametrize("config", [CONFIG, WITH_LATER])
def test_a_clip_depends_on_its_own_generator_only(config: VideoAugmentConfig):
    size_px = np.array([[48, 64], [100, 60], [31, 200]], np.int32)

    def draw(rows: list[int]) -> VideoParams:
        return draw_video_params(
            config, size_px[rows], [np.random.default_rng(row) for row in rows]
        )

    together = draw([0, 1, 2])
    for row in range(3):
        alone = draw([row])
        for field in dataclasses.fields(VideoParams):
            one, of_many = getattr(alone, field.name)[0], getattr(together, field.name)[row]
            np.testing.assert_array_equal(one, of_many)


def test_changing_a_chance_moves_no_other_draw():
    one = many(VideoAugmentConfig(flip_probability=0.0, jitter_probability=0.0), 50)
    two = many(VideoAugmentConfig(flip_probability=1.0, jitter_probability=1.0), 50)
    for name in ("boxes_px", "jitter_order", "brightness", "hue", "gray", "blur_sigma_px"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))
    assert not one.flip.any()
    assert two.flip.all()


def test_randaugment_and_erasing_move_no_other_draw():
    one, two = many(CONFIG, 50), many(WITH_LATER, 50)
    later = {"operations", "strengths", "erased_px", "noise_seed"}
    for field in dataclasses.fields(VideoParams):
        if field.name not in later:
            np.testing.assert_array_equal(getattr(one, field.name), getattr(two, field.name))
    assert one.operations.shape == one.strengths.shape == (50, 0)
    assert not one.erased_px.any()
    assert two.operations.shape == two.strengths.shape == (50, 4)
    assert two.erased_px.any()


def test_what_is_off_is_not_written():
    # Configs, and digests of them, are as they were before there was RandAugment or erasing.
    assert CONFIG.model_dump().keys().isdisjoint({"rand_augment", "erase"})
    assert "rand_augment" not in CONFIG.model_dump_json()
    dumped = WITH_LATER.model_dump(mode="json")
    assert dumped["rand_augment"] == {
        "num_operations": 4,
        "magnitude": 7.0,
        "magnitude_std": 0.5,
        "probability": 0.5,
    }
    assert dumped["erase"] == {"probability": 0.25, "area": [0.02, 1 / 3], "aspect": [0.3, 1 / 0.3]}
    for config in (CONFIG, WITH_LATER):
        assert VideoAugmentConfig.model_validate(config.model_dump()) == config
        assert VideoAugmentConfig.model_validate_json(config.model_dump_json()) == config


def test_an_empty_batch_is_fine():
    for config in (CONFIG, WITH_LATER):
        params = draw_video_params(config, np.zeros((0, 2), np.int32), [])
        assert params.boxes_px.shape == params.erased_px.shape == (0, 4)
        assert params.flip.shape == (0,)


def test_wrong_calls_are_refused():
    size_px = np.array([[48, 64]], np.int32)
    with pytest.raises(ValueError, match="1 clips but 2 generators"):
        draw_video_params(CONFIG, size_px, np.random.default_rng(0).spawn(2))
    with pytest.raises(ValueError, match="at least 1 pixel"):
        draw_video_params(CONFIG, size_px * 0, np.random.default_rng(0).spawn(1))


@pytest.mark.parametrize(
    "wrong",
    [
        {"area": (0.5, 0.3)},
        {"area": (0.0, 1.0)},
        {"area": (0.3, 1.1)},
        {"aspect": (2.0, 0.5)},
        {"blur_sigma": (0.0, 2.0)},
        {"std": (0.5, 0.0, 0.5)},
        {"mean": (0.5, float("nan"), 0.5)},
        {"hue": 0.6},
        {"flip_probability": 1.5},
        {"crop": 112},
    ],
)
def test_configs_refuse_what_cannot_be(wrong: dict[str, float]):
    with pytest.raises(ValidationError):
        VideoAugmentConfig.model_validate(wrong)
