"""Where a synthetic shape is at any instant, and the instants at which it is heard to strike.

Picture and sound both ask here, so that they agree by construction.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from avrep.media.synth_scene import Scene

_DIRECTIONS = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}
_SWING = 0.22
_FALL = 0.55


@dataclass(frozen=True, slots=True, kw_only=True)
class Poses:
    """The shape's pose at each of n instants, each field float64[n]."""

    x_px: npt.NDArray[np.float64]
    y_px: npt.NDArray[np.float64]
    """Downward from the top edge, as rows are counted."""
    radius_px: npt.NDArray[np.float64]
    angle_rad: npt.NDArray[np.float64]


def poses(scene: Scene, times_s: npt.NDArray[np.float64]) -> Poses:
    """Centre, radius and angle at each time.

    The picture's opposite edges are joined, so what leaves by one enters by the other. Oscillation
    swings level as a sine; a bounce is a fall without loss, so a parabola between two strikes.
    """
    still = np.zeros_like(times_s)
    x_px, y_px = still + scene.x_px, still + scene.y_px
    radius_px, angle_rad = still + scene.radius_px, still + scene.angle_rad
    cycles = scene.rate * times_s + scene.phase
    side_px = min(scene.width_px, scene.height_px)
    match scene.motion:
        case "left" | "right" | "up" | "down":
            across, down = _DIRECTIONS[scene.motion]
            x_px = (scene.x_px + across * scene.rate * side_px * times_s) % scene.width_px
            y_px = (scene.y_px + down * scene.rate * side_px * times_s) % scene.height_px
        case "rotate":
            angle_rad = scene.angle_rad + scene.spin * 2 * np.pi * scene.rate * times_s
        case "oscillate":
            x_px = scene.x_px + _SWING * scene.width_px * np.sin(2 * np.pi * cycles)
        case "zoom":
            radius_px = scene.radius_px * 1.45 ** np.sin(2 * np.pi * cycles)
        case "bounce":
            floor_px = scene.height_px - scene.radius_px
            fall_px = min(_FALL * scene.height_px, floor_px - scene.radius_px)
            part = cycles % 1.0
            y_px = floor_px - fall_px * 4 * part * (1 - part)
    return Poses(x_px=x_px, y_px=y_px, radius_px=radius_px, angle_rad=angle_rad)


def strikes_s(scene: Scene) -> tuple[float, ...]:
    """When the shape strikes, ascending, inside [0, duration).

    A bounce strikes at the floor, an oscillation at each end of its swing, a zoom when largest, a
    rotation at each full turn, and a shape that crosses an edge of the picture strikes the edge.
    """
    side_px = min(scene.width_px, scene.height_px)
    match scene.motion:
        case "left":
            first, per_s = scene.x_px / scene.width_px, scene.rate * side_px / scene.width_px
        case "right":
            first, per_s = 1 - scene.x_px / scene.width_px, scene.rate * side_px / scene.width_px
        case "up":
            first, per_s = scene.y_px / scene.height_px, scene.rate * side_px / scene.height_px
        case "down":
            first, per_s = 1 - scene.y_px / scene.height_px, scene.rate * side_px / scene.height_px
        case "rotate":
            first, per_s = -scene.spin * scene.angle_rad / (2 * np.pi), scene.rate
        case "bounce":
            first, per_s = -scene.phase, scene.rate
        case "zoom":
            first, per_s = 0.25 - scene.phase, scene.rate
        case "oscillate":
            # Two ends to a cycle, so everything counts in half cycles.
            first, per_s = 0.5 - 2 * scene.phase, 2 * scene.rate
    count = math.ceil(scene.duration_s * per_s) + 1
    times = ((first % 1.0 + k) / per_s for k in range(count))
    return tuple(time_s for time_s in times if time_s < scene.duration_s)
