"""Proves that poses follow the motions by name and that strikes fall where a fine search finds
the pose to strike.
"""

from dataclasses import replace
from typing import get_args

import numpy as np
import pytest

from avrep.media.synth_motion import poses, strikes_s
from avrep.media.synth_scene import Motion, Scene, SynthConfig, scene

MOTIONS: tuple[Motion, ...] = get_args(Motion)
STEP_S = 1e-4


def scenes(motion: Motion) -> list[Scene]:
    drawn = [scene(SynthConfig(), index) for index in range(96)]
    return [item for item in drawn if item.motion == motion]


def peaks(values: np.ndarray) -> np.ndarray:
    """Indices of the strict local maxima of a finely sampled smooth or folded curve."""
    return np.flatnonzero((values[1:-1] >= values[:-2]) & (values[1:-1] > values[2:])) + 1


@pytest.mark.parametrize("motion", MOTIONS)
def test_strikes_are_where_a_search_finds_them(motion: Motion) -> None:
    for item in scenes(motion):
        times_s = np.arange(-1e-3, item.duration_s + 1e-3, STEP_S)
        pose = poses(item, times_s)
        match motion:
            case "left" | "right":
                found = np.flatnonzero(abs(np.diff(pose.x_px)) > item.width_px / 2)
            case "up" | "down":
                found = np.flatnonzero(abs(np.diff(pose.y_px)) > item.height_px / 2)
            case "rotate":
                found = np.flatnonzero(np.diff(np.floor(pose.angle_rad / (2 * np.pi))))
            case "bounce":
                found = peaks(pose.y_px)
            case "zoom":
                found = peaks(pose.radius_px)
            case "oscillate":
                found = peaks(abs(pose.x_px - item.x_px))
        inside = times_s[found]
        margin_s = 3 * STEP_S
        told = np.array(strikes_s(item))
        told_inside = told[(told > margin_s) & (told < item.duration_s - margin_s)]
        inside = inside[(inside > margin_s) & (inside < item.duration_s - margin_s)]
        assert np.all((told >= 0) & (told < item.duration_s))
        assert told_inside.shape == inside.shape
        assert np.allclose(told_inside, inside, atol=2 * STEP_S)


def test_every_video_strikes_at_least_once() -> None:
    for motion in MOTIONS:
        for item in scenes(motion):
            slow_crossing = motion in ("left", "right", "rotate") and item.speed == "slow"
            assert slow_crossing or strikes_s(item), motion


@pytest.mark.parametrize(
    ("motion", "x_px", "y_px"),
    [("left", 40.4, 30.0), ("right", 59.6, 30.0), ("up", 50.0, 20.4), ("down", 50.0, 39.6)],
)
def test_directions_go_where_they_say(motion: Motion, x_px: float, y_px: float) -> None:
    # 0.4 of the shorter side (96 px) a second, for a quarter of a second: 9.6 px.
    item = replace(scenes("left")[0], motion=motion, x_px=50.0, y_px=30.0, rate=0.4)
    pose = poses(item, np.array([0.25]))
    assert pose.x_px[0] == pytest.approx(x_px)
    assert pose.y_px[0] == pytest.approx(y_px)
    assert pose.radius_px[0] == item.radius_px
    assert pose.angle_rad[0] == item.angle_rad


def test_a_crossing_enters_at_the_opposite_edge() -> None:
    item = replace(scenes("right")[0], motion="right", x_px=120.0, rate=0.5)
    assert poses(item, np.array([0.5])).x_px[0] == pytest.approx(120 + 24 - 128)
    assert strikes_s(item)[0] == pytest.approx(8 / 48)


def test_a_bounce_falls_like_a_stone() -> None:
    item = replace(scenes("bounce")[0], rate=2.0, phase=0.0, radius_px=16.0)
    times_s = np.linspace(0.0, 0.5, 11)
    y_px = poses(item, times_s).y_px
    assert y_px[[0, -1]] == pytest.approx([80.0, 80.0])
    assert y_px[5] == pytest.approx(80.0 - 0.55 * 96)
    assert np.diff(y_px, 2) == pytest.approx(np.full(9, np.diff(y_px, 2)[0]))
    assert strikes_s(item) == pytest.approx((0.0, 0.5, 1.0, 1.5, 2.0, 2.5))


@pytest.mark.parametrize("spin", [1, -1])
def test_a_rotation_turns_both_ways_and_stays_in_place(spin: int) -> None:
    item = replace(scenes("rotate")[0], rate=0.5, spin=spin, angle_rad=1.0)
    pose = poses(item, np.array([0.0, 0.5]))
    assert np.diff(pose.angle_rad)[0] == pytest.approx(spin * np.pi / 2)
    assert np.ptp(pose.x_px) == np.ptp(pose.y_px) == np.ptp(pose.radius_px) == 0


def test_zoom_and_oscillation_return_after_a_cycle() -> None:
    zoom = replace(scenes("zoom")[0], rate=1.0, phase=0.25)
    radius_px = poses(zoom, np.array([0.0, 0.5, 1.0])).radius_px / zoom.radius_px
    assert radius_px == pytest.approx([1.45, 1 / 1.45, 1.45])
    swing = replace(scenes("oscillate")[0], rate=1.0, phase=0.0)
    x_px = poses(swing, np.array([0.0, 0.25, 0.5, 0.75])).x_px - swing.x_px
    assert x_px == pytest.approx([0, 0.22 * 128, 0, -0.22 * 128], abs=1e-9)
    assert strikes_s(swing) == pytest.approx((0.25, 0.75, 1.25, 1.75, 2.25, 2.75))
