"""Pictures of a scene: a textured shape over a smooth still backdrop, drawn with distances.

A shape is the set of points whose signed distance is negative; the distance in pixels, clipped to
one pixel about zero, is the coverage, which gives clean edges at the price of a subtraction.
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from avrep.media.frame_code import draw_frame_code
from avrep.media.synth_motion import Poses, poses
from avrep.media.synth_scene import Draw, Rgb, Scene
from avrep.rng import Stage, at
from avrep.types import Address, Video

Plane = npt.NDArray[np.floating]

_REACH = 1.2
"""Radii from a shape's centre to beyond its farthest corner."""


def render_frame(scene: Scene, frame: int) -> npt.NDArray[np.uint8]:
    """uint8[h w 3]: frame number `frame` as shown from `frame / fps` on, its number in the corner."""
    pose = poses(scene, np.array([frame / scene.fps]))
    return draw_frame_code(_paint(scene, _backdrop(scene), pose, 0), frame)


def render_frames(scene: Scene) -> Iterator[npt.NDArray[np.uint8]]:
    """Every frame of the scene in order; the same pixels as `render_frame`, the backdrop kept."""
    backdrop = _backdrop(scene)
    pose = poses(scene, np.arange(scene.num_frames) / scene.fps)
    for frame in range(scene.num_frames):
        yield draw_frame_code(_paint(scene, backdrop, pose, frame), frame)


def render_video(scene: Scene) -> Video:
    """uint8[t h w 3]: every frame of the scene."""
    return np.stack(list(render_frames(scene)))


def _paint(scene: Scene, backdrop: Plane, pose: Poses, row: int) -> npt.NDArray[np.uint8]:
    x_px, y_px = float(pose.x_px[row]), float(pose.y_px[row])
    radius_px = float(pose.radius_px[row])
    # Only the patch that the shape can reach is drawn, in coordinates that run on past the edges
    # and are then wrapped, so that a shape that leaves by one edge enters by the other.
    columns, rows = _reached(x_px, radius_px), _reached(y_px, radius_px)
    right, down = columns + 0.5 - x_px, (rows + 0.5 - y_px)[:, None]
    cos, sin = np.cos(pose.angle_rad[row]), np.sin(pose.angle_rad[row])
    u, v = (right * cos + down * sin) / radius_px, (down * cos - right * sin) / radius_px

    inside = np.clip(0.5 - _distance(scene.shape, u, v) * radius_px, 0, 1)
    ink = _texture(scene.texture, u, v, radius_px)
    # A spot away from the centre shows how even a plain disc is turned.
    spot = np.clip(0.5 - (np.hypot(u - 0.62, v) - 0.2) * radius_px, 0, 1)
    skin = _blend(scene.shape_rgb, scene.texture_rgb, ink)
    skin += (1.0 - skin) * spot[..., None]

    patch = np.ix_(rows % scene.height_px, columns % scene.width_px)
    frame = _eight_bits(backdrop)
    behind = backdrop[patch]
    frame[patch] = _eight_bits(behind + (skin - behind) * inside[..., None])
    return frame


def _reached(centre_px: float, radius_px: float) -> npt.NDArray[np.int64]:
    reach_px = _REACH * radius_px + 1
    return np.arange(int(np.floor(centre_px - reach_px)), int(np.ceil(centre_px + reach_px)))


def _eight_bits(plane: Plane) -> npt.NDArray[np.uint8]:
    return np.rint(plane * 255).astype(np.uint8)


def _distance(shape: str, u: Plane, v: Plane) -> Plane:
    """Signed distance in radii (a lower bound of it near corners); the farthest corner is at 1.16."""
    match shape:
        case "disc":
            return np.hypot(u, v) - 0.9
        case "square":
            return np.maximum(abs(u), abs(v)) - 0.8
        case "triangle":
            return np.maximum(abs(v) * 0.866 + u * 0.5, -u) - 0.58
        case "cross":
            bar = np.maximum(abs(u) - 0.95, abs(v) - 0.34)
            return np.minimum(bar, np.maximum(abs(v) - 0.95, abs(u) - 0.34))
        case "ring":
            return abs(np.hypot(u, v) - 0.72) - 0.26
        case "star":
            return _star(u, v)
        case _:
            raise ValueError(f"no shape is called {shape!r}")


def _star(u: Plane, v: Plane) -> Plane:
    # Folded onto one half point, a five-pointed star is a half-plane: its side runs from the tip
    # at radius 1.1 to the notch at radius 0.5.
    tip, notch, half = 1.1, 0.5, np.pi / 5
    angle = abs((np.arctan2(v, u) + half) % (2 * half) - half)
    radius = np.hypot(u, v)
    along_x, along_y = notch * np.cos(half) - tip, notch * np.sin(half)
    x, y = radius * np.cos(angle) - tip, radius * np.sin(angle)
    return (x * along_y - y * along_x) / np.hypot(along_x, along_y)


def _texture(texture: str, u: Plane, v: Plane, radius_px: float) -> Plane:
    """Share of the second colour, in [0, 1]."""
    turns = 2 * np.pi / 0.6
    sharpness = radius_px / turns
    match texture:
        case "plain":
            return np.zeros_like(u)
        case "stripes":
            wave = np.sin(turns * u)
        case "checker":
            wave = np.sin(turns * 0.75 * u) * np.sin(turns * 0.75 * v) * 2
        case "dots":
            wave = np.cos(turns * u) + np.cos(turns * v) - 1
        case _:
            raise ValueError(f"no texture is called {texture!r}")
    return np.clip(0.5 + wave * sharpness, 0, 1)


def _blend(first: Rgb, second: Rgb, share: Plane) -> Plane:
    start = np.array(first)
    return start + share[..., None] * (np.array(second) - start)


def _backdrop(scene: Scene) -> Plane:
    """float[h w 3] in [0, 1]: two colours mixed by a smooth field."""
    rng = at(scene.seed, Stage.SYNTH, Address(0, scene.index, Draw.BACKDROP))
    side_px = min(scene.width_px, scene.height_px)
    x = (np.arange(scene.width_px) / side_px)[None]
    y = (np.arange(scene.height_px) / side_px)[:, None]
    return _blend(*scene.backdrop_rgb, _field(scene.background, x, y, rng))


def _field(background: str, x: Plane, y: Plane, rng: np.random.Generator) -> Plane:
    heading = rng.uniform(0, 2 * np.pi)
    slope = x * np.cos(heading) + y * np.sin(heading)
    match background:
        case "gradient":
            return (slope - slope.min()) / np.ptp(slope)
        case "bands":
            return 0.5 + 0.5 * np.sin(2 * np.pi * (rng.uniform(1.0, 2.0) * slope + rng.uniform()))
        case "clouds":
            waves = [_wave(x, y, rng) for _ in range(6)]
            return np.clip(0.5 + sum(waves, np.zeros_like(slope)) / 5, 0, 1)
        case "blobs":
            hills = [_hill(x, y, rng) for _ in range(5)]
            return np.clip(sum(hills, np.zeros_like(slope)), 0, 1)
        case _:
            raise ValueError(f"no background is called {background!r}")


def _wave(x: Plane, y: Plane, rng: np.random.Generator) -> Plane:
    across, down = rng.normal(0, 1.1, 2)
    return np.sin(2 * np.pi * (across * x + down * y + rng.uniform()))


def _hill(x: Plane, y: Plane, rng: np.random.Generator) -> Plane:
    distance = np.hypot(x - rng.uniform(0, x.max()), y - rng.uniform(0, y.max()))
    return np.exp(-((distance / rng.uniform(0.15, 0.35)) ** 2))
