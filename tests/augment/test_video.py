"""Proves the whole augmentation: against a restatement with other libraries' parts, the same result
alone and in any batch, frames of a clip treated alike, and padding that never shows.
"""

import math
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from matplotlib import colors
from PIL import Image
from scipy import ndimage, stats
from torch.nn.functional import interpolate

from avrep.augment.erase import EraseConfig
from avrep.augment.rand_augment import RandAugmentConfig
from avrep.augment.rand_operations import apply_operations
from avrep.augment.video import augment_video
from avrep.augment.video_config import VideoAugmentConfig, cvrl_view
from avrep.augment.video_params import VideoParams, draw_video_params

SIZES = np.array([[60, 80], [48, 64], [90, 50], [41, 41], [60, 80], [33, 80]], np.int32)
EVERYTHING = VideoAugmentConfig(
    crop_px=48,
    gray_probability=0.3,
    blur_probability=0.6,
    solarize_probability=0.5,
    mean=(0.48, 0.46, 0.41),
    std=(0.23, 0.22, 0.25),
)
# All operations made, so that six clips have two dozen of them; every other clip loses a rectangle.
STRONG = EVERYTHING.model_copy(
    update={
        "rand_augment": RandAugmentConfig(probability=1.0),
        "erase": EraseConfig(probability=0.5),
    }
)
NOTHING = VideoAugmentConfig(
    crop_px=48,
    flip_probability=0.0,
    jitter_probability=0.0,
    gray_probability=0.0,
    blur_probability=0.0,
)


def smooth_clips(sizes: np.ndarray, num_frames: int = 3, padding: int = 0) -> torch.Tensor:
    """Random soft pictures, padded below and right to a common size."""
    rng = np.random.default_rng(5)
    height, width = sizes.max(axis=0)
    video = np.full((len(sizes), num_frames, height, width, 3), padding, np.uint8)
    for clip, (h, w) in zip(video, sizes, strict=True):
        coarse = rng.random((num_frames, h // 8 + 1, w // 8 + 1, 3)).repeat(8, 1).repeat(8, 2)
        clip[:, :h, :w] = (coarse[:, :h, :w] * 255).astype(np.uint8)
    return torch.from_numpy(video)


def draw(config: VideoAugmentConfig, seed: int, rows: list[int] | None = None) -> VideoParams:
    rows = list(range(len(SIZES))) if rows is None else rows
    rngs = [np.random.default_rng([seed, row]) for row in rows]
    return draw_video_params(config, SIZES[rows], rngs)


def restated(
    clip: torch.Tensor, params: VideoParams, i: int, config: VideoAugmentConfig
) -> np.ndarray:
    """One clip, step by step, in double precision; float64[t crop crop 3]."""
    top, left, h, w = params.boxes_px[i]
    planes = clip[:, top : top + h, left : left + w].permute(0, 3, 1, 2).double() / 255
    size = (config.crop_px, config.crop_px)
    x = interpolate(planes, size=size, mode="bilinear", antialias=True).permute(0, 2, 3, 1).numpy()
    if params.flip[i]:
        x = x[:, :, ::-1]
    for op in params.jitter_order[i] if params.jitter[i] else []:
        if op == 0:
            x = x * params.brightness[i]
        elif op == 1:
            mean = x.reshape(-1, 3).mean(axis=0)
            x = (x - mean) * params.contrast[i] + mean
        else:
            hsv = colors.rgb_to_hsv(np.clip(x, 0, 1))
            if op == 2:
                hsv[..., 1] = np.minimum(hsv[..., 1] * params.saturation[i], 1)
            else:
                hsv[..., 0] = (hsv[..., 0] + params.hue[i]) % 1
            x = colors.hsv_to_rgb(hsv)
        x = np.clip(x, 0, 1)
    if params.gray[i]:
        x = np.repeat((x @ [0.2989, 0.5870, 0.1140])[..., None], 3, axis=-1)
    if params.blur[i]:
        radius, sigma = (config.crop_px // 10) // 2, float(params.blur_sigma_px[i])
        taps = [math.exp(-(k * k) / (2 * sigma * sigma)) for k in range(-radius, radius + 1)]
        for axis in (1, 2):
            x = ndimage.correlate1d(x, np.array(taps) / sum(taps), axis=axis, mode="constant")
    if params.solarize[i]:
        x = np.where(x < 0.5, x, 1 - x)
    return (x - np.array(config.mean)) / np.array(config.std)


@pytest.mark.parametrize("seed", range(12))
def test_equals_the_restatement(seed: int):
    video, params = smooth_clips(SIZES), draw(EVERYTHING, seed)
    ours = augment_video(video, params, EVERYTHING)
    assert ours.shape == (len(SIZES), 3, 3, 48, 48)
    assert ours.dtype == torch.float32
    assert ours.is_contiguous()
    for i in range(len(SIZES)):
        expected = restated(video[i], params, i, EVERYTHING)
        np.testing.assert_allclose(ours[i].permute(1, 2, 3, 0).numpy(), expected, atol=1e-4)


@pytest.mark.parametrize("seed", range(4))
def test_operations_come_first_and_erasing_last(seed: int):
    video, params = smooth_clips(SIZES), draw(STRONG, seed)
    ours = augment_video(video, params, STRONG)
    first = video.clone()
    for i, (height, width) in enumerate(SIZES.tolist()):
        own = video[i, :, :height, :width].permute(0, 3, 1, 2)
        changed = apply_operations(own, params.operations[i], params.strengths[i])
        first[i, :, :height, :width] = changed.permute(0, 2, 3, 1)
    expected = augment_video(first, draw(EVERYTHING, seed), EVERYTHING)
    for i, (top, left, height, width) in enumerate(params.erased_px.tolist()):
        box = (i, slice(None), slice(None), slice(top, top + height), slice(left, left + width))
        if height * width:
            assert (ours[box] != expected[box]).all()
            assert stats.kstest(ours[box].flatten().numpy(), "norm").pvalue > 1e-4
        ours[box] = expected[box] = 0
    assert torch.equal(ours, expected)


def test_operations_and_erasing_that_never_happen_change_nothing_to_the_bit():
    never = {
        "rand_augment": RandAugmentConfig(probability=0.0),
        "erase": EraseConfig(probability=0.0),
    }
    config, video = EVERYTHING.model_copy(update=never), smooth_clips(SIZES)
    without = augment_video(video, draw(EVERYTHING, 3), EVERYTHING)
    assert torch.equal(augment_video(video, draw(config, 3), config), without)


@pytest.mark.parametrize("config", [EVERYTHING, STRONG, cvrl_view(1, 32), cvrl_view(2, 32)])
def test_alone_equals_in_a_batch_to_the_bit(config: VideoAugmentConfig):
    video = smooth_clips(SIZES)
    together = augment_video(video, draw(config, 3), config)
    for row in range(len(SIZES)):
        alone = augment_video(video[row : row + 1], draw(config, 3, [row]), config)
        assert torch.equal(alone[0], together[row])
    back = [5, 2, 0]
    assert torch.equal(augment_video(video[back], draw(config, 3, back), config), together[back])


@pytest.mark.parametrize("group", [2, 4, 16])
def test_grouping_changes_nothing_to_the_bit(group: int):
    video, params = smooth_clips(SIZES), draw(EVERYTHING, 4)
    singly = augment_video(video, params, EVERYTHING)
    assert torch.equal(augment_video(video, params, EVERYTHING, group=group), singly)


@pytest.mark.parametrize("seed", range(6))
def test_still_clips_stay_still(seed: int):
    config = STRONG.model_copy(update={"erase": None})
    still = smooth_clips(SIZES)[:, :1].expand(-1, 5, -1, -1, -1)
    out = augment_video(still, draw(config, seed), config)
    torch.testing.assert_close(out, out[:, :, :1].expand_as(out), atol=1e-6, rtol=0)


@pytest.mark.parametrize("seed", range(6))
def test_padding_never_shows(seed: int):
    params = draw(STRONG, seed)
    black = augment_video(smooth_clips(SIZES, padding=0), params, STRONG)
    white = augment_video(smooth_clips(SIZES, padding=255), params, STRONG)
    assert torch.equal(black, white)


def test_nothing_asked_is_a_change_of_scale_only():
    config = NOTHING.model_copy(update={"area": (1.0, 1.0), "aspect": (1.0, 1.0)})
    video = torch.randint(0, 256, (2, 4, 48, 48, 3), dtype=torch.uint8)
    rngs = np.random.default_rng(0).spawn(2)
    params = draw_video_params(config, np.full((2, 2), 48, np.int32), rngs)
    expected = video.permute(0, 4, 1, 2, 3) / 127.5 - 1
    torch.testing.assert_close(augment_video(video, params, config), expected, atol=1e-6, rtol=0)


def test_bytes_that_come_in_are_left_alone():
    video = smooth_clips(SIZES)
    before = video.clone()
    augment_video(video, draw(STRONG, 0), STRONG)
    assert torch.equal(video, before)


def test_the_two_published_views_differ_in_blur_and_solarisation_only():
    one, two = cvrl_view(1, 112).model_dump(), cvrl_view(2, 112).model_dump()
    differing = {name: (one[name], two[name]) for name in one if one[name] != two[name]}
    assert differing == {"blur_probability": (1.0, 0.1), "solarize_probability": (0.0, 0.2)}
    assert one["crop_px"] == 112


@pytest.mark.parametrize(
    ("video", "message"),
    [
        (torch.zeros(6, 3, 90, 80, 3), "video must be uint8"),
        (torch.zeros(6, 3, 3, 90, 80, dtype=torch.uint8), "video must be uint8"),
        (torch.zeros(5, 3, 90, 80, 3, dtype=torch.uint8), "5 clips but parameters for 6"),
        (torch.zeros(6, 3, 90, 40, 3, dtype=torch.uint8), "is not inside frames"),
    ],
)
def test_what_does_not_fit_is_refused(video: torch.Tensor, message: str):
    config = NOTHING.model_copy(update={"area": (1.0, 1.0)})
    with pytest.raises(ValueError, match=message):
        augment_video(video, draw(config, 0), config)


@pytest.mark.media
def test_real_frames_are_cropped_as_pillow_crops_them(media_root: Path):
    with av.open(media_root / "action" / "asl_gestures" / "bird.mkv") as container:
        frames = [f.to_ndarray(format="rgb24") for f in container.decode(video=0)][:40:10]
    video = torch.from_numpy(np.stack(frames))[None]
    size_px = np.array([frames[0].shape[:2]], np.int32)
    params = draw_video_params(NOTHING, size_px, np.random.default_rng(2).spawn(1))
    ours = (augment_video(video, params, NOTHING)[0] + 1) * 127.5
    top, left, h, w = params.boxes_px[0].tolist()
    for t, frame in enumerate(frames):
        crop = Image.fromarray(frame).crop((left, top, left + w, top + h))
        theirs = np.asarray(crop.resize((48, 48), Image.Resampling.BILINEAR), np.float32)
        # Pillow rounds to whole levels after each of its two passes.
        np.testing.assert_allclose(ours[:, t].permute(1, 2, 0).numpy(), theirs, atol=1.1)
