"""Proves that pictures show what the scene says: areas of shapes against closed forms, places
against poses, textures and numbers against their definitions.
"""

from dataclasses import replace

import numpy as np
import pytest

from avrep.media.frame_code import read_frame_number
from avrep.media.synth_motion import poses
from avrep.media.synth_picture import render_frame, render_frames, render_video
from avrep.media.synth_scene import BACKGROUNDS, MOTIONS, Scene, SynthConfig, scene

BLACK, WHITE = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
PLAIN = replace(
    scene(SynthConfig(width_px=256, height_px=192), 0),
    texture="plain",
    motion="rotate",
    x_px=140.0,
    y_px=100.0,
    radius_px=40.0,
    shape_rgb=WHITE,
    texture_rgb=BLACK,
    backdrop_rgb=(BLACK, BLACK),
)


def coverage(item: Scene, frame: int) -> np.ndarray:
    """float64[h w]: how white each pixel is, the corner with the number left out."""
    grey = render_frame(item, frame).mean(axis=2) / 255
    grey[:12, :32] = 0
    return grey


@pytest.mark.parametrize(
    ("shape", "area"),
    [
        ("disc", np.pi * 0.9**2),
        ("square", 1.6**2),
        ("triangle", 3 * np.sqrt(3) * 0.58**2),
        ("cross", 2 * 1.9 * 0.68 - 0.68**2),
        ("ring", np.pi * (0.98**2 - 0.46**2)),
        ("star", 10 * 0.5 * 1.1 * 0.5 * np.sin(np.pi / 5)),
    ],
)
def test_shapes_have_their_areas_at_any_angle(shape: str, area: float) -> None:
    for frame in (0, 7, 31):
        covered = coverage(replace(PLAIN, shape=shape), frame).sum()
        assert covered == pytest.approx(area * 40.0**2, rel=0.02)


@pytest.mark.parametrize("shape", ["disc", "square", "cross", "ring", "star"])
def test_shapes_lie_about_their_centre(shape: str) -> None:
    cover = coverage(replace(PLAIN, shape=shape), 5)
    rows, columns = np.mgrid[: cover.shape[0], : cover.shape[1]] + 0.5
    assert (cover * columns).sum() / cover.sum() == pytest.approx(140.0, abs=0.3)
    assert (cover * rows).sum() / cover.sum() == pytest.approx(100.0, abs=0.3)


@pytest.mark.parametrize("motion", MOTIONS)
def test_the_shape_is_where_its_pose_says_in_every_frame(motion: str) -> None:
    drawn = [scene(SynthConfig(), index) for index in range(48)]
    item = next(item for item in drawn if item.motion == motion)
    # From here no motion leads beneath the number.
    item = replace(
        item,
        x_px=80.0,
        y_px=60.0,
        shape="disc",
        texture="plain",
        shape_rgb=WHITE,
        backdrop_rgb=(BLACK, BLACK),
    )
    pose = poses(item, np.arange(item.num_frames) / item.fps)
    for frame in range(0, item.num_frames, 5):
        cover = coverage(item, frame)
        # A mean on the circle, because opposite edges are joined.
        for axis, centre_px, size_px in (
            (0, pose.x_px[frame], item.width_px),
            (1, pose.y_px[frame], item.height_px),
        ):
            turn = 2j * np.pi * (np.arange(size_px) + 0.5) / size_px
            mean = np.angle((cover.sum(axis=axis) * np.exp(turn)).sum()) / (2 * np.pi) * size_px
            apart = (mean - centre_px + size_px / 2) % size_px - size_px / 2
            assert abs(apart) < 0.2
        assert cover.sum() == pytest.approx(np.pi * (0.9 * pose.radius_px[frame]) ** 2, rel=0.02)


def test_textures_differ_in_the_share_and_the_order_of_their_ink() -> None:
    still = replace(PLAIN, shape="square", angle_rad=0.0)
    inked = {
        texture: coverage(replace(still, texture=texture), 0)[68:132, 108:172]
        for texture in ("plain", "stripes", "checker", "dots")
    }
    spot = np.pi * (0.2 * 40) ** 2 / 64**2
    assert inked["plain"].min() == 1.0
    for texture, share in (("stripes", 0.5), ("checker", 0.5), ("dots", 0.79)):
        assert inked[texture].mean() == pytest.approx(share, abs=0.06 + spot)
    # Stripes run along one axis; the other two vary along both.
    varies = {
        name: (ink[:20].std(axis=0).mean(), ink.std(axis=1).mean()) for name, ink in inked.items()
    }
    assert varies["stripes"][0] < 0.01 < 0.4 < varies["stripes"][1]
    for texture in ("checker", "dots"):
        assert min(varies[texture]) > 0.15


def test_a_turn_can_be_seen_even_on_a_plain_disc() -> None:
    item = replace(PLAIN, shape="disc", shape_rgb=(0.5, 0.5, 0.5), rate=0.5, spin=1, angle_rad=0.0)
    spots = []
    for frame in (0, 12):
        bright = coverage(item, frame) > 0.9
        rows, columns = np.nonzero(bright)
        spots.append((columns.mean() + 0.5 - 140.0, rows.mean() + 0.5 - 100.0))
    # Half a second at half a turn a second: from the right to below, rows counting downward.
    assert spots[0] == pytest.approx((0.62 * 40, 0.0), abs=0.5)
    assert spots[1] == pytest.approx((0.0, 0.62 * 40), abs=0.5)


@pytest.mark.parametrize("background", BACKGROUNDS)
def test_backdrops_are_smooth_and_keep_to_their_two_colours(background: str) -> None:
    item = replace(
        PLAIN, background=background, radius_px=1e-3, backdrop_rgb=((0.2, 0.1, 0.3), (0.5, 0.4, 0.3))
    )  # fmt: skip
    pixels = render_frame(item, 0)[20:].astype(float) / 255
    assert pixels[..., 0].min() >= 0.2 - 0.003
    assert pixels[..., 0].max() <= 0.5 + 0.003
    assert pixels[..., 2] == pytest.approx(np.full(pixels.shape[:2], 0.3), abs=0.003)
    assert np.ptp(pixels[..., 0]) > 0.1
    assert abs(np.diff(pixels[..., 0], axis=0)).max() < 0.05


def test_frames_alone_and_in_a_row_are_the_same_and_numbered() -> None:
    item = scene(SynthConfig(), 3)
    video = render_video(item)
    assert video.shape == (72, 96, 128, 3)
    assert video.dtype == np.uint8
    assert [read_frame_number(frame) for frame in video] == list(range(72))
    assert np.array_equal(video[[0, 41]], [render_frame(item, 0), render_frame(item, 41)])
    assert np.array_equal(video[1], list(render_frames(item))[1])
    assert not np.array_equal(video[0, 12:], render_frame(replace(item, seed=9), 0)[12:])


@pytest.mark.parametrize("part", ["shape", "texture", "background"])
def test_unknown_names_are_refused(part: str) -> None:
    with pytest.raises(ValueError, match="'gnat'"):
        render_frame(replace(PLAIN, **{part: "gnat"}), 0)
