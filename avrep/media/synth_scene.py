"""What a synthetic video shows: labels balanced and independent by construction, the rest drawn.

Labels are dealt in blocks of 48 items. Three permutations of a block, drawn apart, deal the
crossings of (motion, speed, split), of (shape, texture) and of (background, colour): inside a
block each crossing is exactly balanced, so no member of it tells anything of another, and
between crossings the independent permutations see to it. An item depends only on the seed and its
number: a larger corpus begins with the smaller one.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Literal

import numpy as np
from pydantic import Field

from avrep.frozen import FrozenConfig
from avrep.rng import Stage, at
from avrep.types import Address

Motion = Literal["left", "right", "up", "down", "rotate", "bounce", "zoom", "oscillate"]
Rgb = tuple[float, float, float]
"""Red, green and blue in [0, 1]."""

SHAPES = ("disc", "square", "triangle", "cross", "ring", "star")
TEXTURES = ("plain", "stripes", "checker", "dots")
MOTIONS: tuple[Motion, ...] = (
    "left",
    "right",
    "up",
    "down",
    "rotate",
    "bounce",
    "zoom",
    "oscillate",
)
SPEEDS = ("slow", "fast")
BACKGROUNDS = ("gradient", "clouds", "bands", "blobs")
COLOURS = ("red", "yellow", "green", "cyan", "blue", "magenta")
_SPLITS = ("train", "test", "train")

BLOCK = 48
"""Items in which every label is exactly balanced."""


class Draw(IntEnum):
    """What a stream of random numbers is for, apart from the item that it belongs to."""

    SCENE = 0
    DEAL = 1
    BACKDROP = 2
    SOUND = 3
    UTTERANCE = 4
    VOICE = 5
    TIMING = 6


class SynthConfig(FrozenConfig):
    """Size and form of a synthetic corpus."""

    seed: int = Field(default=0, ge=0, lt=2**63)
    num_videos: int = Field(default=192, ge=0, le=100_000)
    """Labelled videos; labels are exactly balanced when this is a multiple of 48."""
    num_flash_beep: int = Field(default=4, ge=0, le=1000)
    """Clips whose flashes and beeps fall on known frames and samples."""
    num_speech: int = Field(default=24, ge=0, le=100_000)
    """Speech-like recordings with known segments."""
    duration_s: float = Field(default=3.0, ge=1.0, le=600.0)
    """Length of every item."""
    fps: int = Field(default=24, ge=5, le=60)
    width_px: int = Field(default=128, ge=64, le=1920, multiple_of=2)
    height_px: int = Field(default=96, ge=48, le=1080, multiple_of=2)
    rate_hz: Literal[8000, 16000, 22050, 24000, 32000, 44100, 48000] = 16000
    """Sample rate of every sound; one that AAC knows."""
    gop_frames: int = Field(default=12, ge=1, le=600)
    """Frames from one key frame to the next."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """Everything that is drawn for one video; picture and sound are functions of it."""

    index: int
    split: str
    shape: str
    texture: str
    motion: Motion
    speed: str
    background: str
    colour: str

    width_px: int
    height_px: int
    fps: int
    num_frames: int
    rate_hz: int

    seed: int
    """The corpus's seed: the backdrop and the noise of the sound are drawn from it and `index`."""
    x_px: float
    y_px: float
    """Centre of the shape at time 0, or the point about which it swings; a bounce has its own
    height."""
    radius_px: float
    angle_rad: float
    spin: int
    """+1 or -1: the sense of a rotation."""
    rate: float
    """How fast the motion is: shorter sides of the picture per second for the four directions,
    cycles per second for the others."""
    phase: float
    """Where in its cycle the motion begins, in [0, 1)."""
    shape_rgb: Rgb
    texture_rgb: Rgb
    backdrop_rgb: tuple[Rgb, Rgb]

    @property
    def duration_s(self) -> float:
        return self.num_frames / self.fps


def scene(config: SynthConfig, index: int) -> Scene:
    """The scene of video `index`: a pure function of the config's seed and form and the index."""
    rng = at(config.seed, Stage.SYNTH, Address(0, index, Draw.SCENE))
    motion_cell = _dealt(config.seed, index, lane=0)
    motion = MOTIONS[motion_cell % 8]
    speed = SPEEDS[motion_cell // 8 % 2]
    shape_cell = _dealt(config.seed, index, lane=1)
    colour_cell = _dealt(config.seed, index, lane=2)
    colour = COLOURS[colour_cell % 6]

    radius_px = min(config.width_px, config.height_px) * rng.uniform(0.16, 0.21)
    shape_rgb = _hsv((COLOURS.index(colour) + rng.uniform(-0.2, 0.2)) / 6, 0.7, 0.9)
    texture_rgb = _hsv(rng.uniform(), rng.uniform(0.3, 0.8), rng.uniform(0.1, 0.3))
    hue = rng.uniform()
    dark = _hsv(hue, rng.uniform(0.2, 0.5), rng.uniform(0.15, 0.3))
    light = _hsv(hue + rng.uniform(0.1, 0.5), rng.uniform(0.2, 0.5), rng.uniform(0.4, 0.55))
    return Scene(
        index=index,
        split=_SPLITS[motion_cell // 16],
        shape=SHAPES[shape_cell % 6],
        texture=TEXTURES[shape_cell // 6 % 4],
        motion=motion,
        speed=speed,
        background=BACKGROUNDS[colour_cell // 6 % 4],
        colour=colour,
        width_px=config.width_px,
        height_px=config.height_px,
        fps=config.fps,
        num_frames=max(1, round(config.duration_s * config.fps)),
        rate_hz=config.rate_hz,
        seed=config.seed,
        # Anywhere at all for every motion, so that the place of a shape tells nothing of its motion.
        x_px=rng.uniform(0.0, config.width_px),
        y_px=rng.uniform(0.0, config.height_px),
        radius_px=radius_px,
        angle_rad=rng.uniform(0.0, 2 * np.pi),
        spin=1 if rng.uniform() < 0.5 else -1,
        rate=_BASE_RATE[motion] * (2.2 if speed == "fast" else 1.0) * rng.uniform(0.92, 1.08),
        phase=rng.uniform(),
        shape_rgb=shape_rgb,
        texture_rgb=texture_rgb,
        backdrop_rgb=(dark, light),
    )


# Slow enough to follow, fast enough to be told from one another within 16 frames at 24 a second.
_BASE_RATE: dict[Motion, float] = {
    "left": 0.36,
    "right": 0.36,
    "up": 0.36,
    "down": 0.36,
    "rotate": 0.4,
    "bounce": 1.25,
    "zoom": 0.8,
    "oscillate": 0.8,
}


def _dealt(seed: int, index: int, *, lane: int) -> int:
    block, place = divmod(index, BLOCK)
    order = at(seed, Stage.SYNTH, Address(0, block, Draw.DEAL), lane).permutation(BLOCK)
    return int(order[place])


def _hsv(hue: float, saturation: float, value: float) -> Rgb:
    def channel(offset: int) -> float:
        sector = (offset + hue * 6) % 6
        return value * (1 - saturation * max(0.0, min(sector, 4 - sector, 1.0)))

    return channel(5), channel(3), channel(1)
