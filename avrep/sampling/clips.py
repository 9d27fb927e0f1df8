"""Single clips as frame numbers: drawn at random, or spread evenly over a video.

Everything here counts frames; `avrep.sampling.spec` turns the counts into times.
"""

from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from avrep.frozen import FrozenConfig

FrameNumbers = Annotated[npt.NDArray[np.int64], "t"]


class ClipConfig(FrozenConfig):
    """The form of one clip, shared by every sampler."""

    num_frames: int = Field(default=16, ge=1, le=4096)
    """Frames in a clip."""
    stride: int = Field(default=2, ge=1, le=1024)
    """Distance between neighbouring frames of a clip, in frames of the video at `fps`."""
    fps: Annotated[float, Field(gt=0, le=1000)] | None = None
    """Frame rate at which frames are counted; None: the video's own."""


class UniformConfig(ClipConfig):
    """Clips of one video, each drawn at random and independently of the others."""

    kind: Literal["uniform"] = "uniform"
    num_clips: int = Field(default=1, ge=1, le=1000)
    """Clips drawn from each item."""


class DenseConfig(ClipConfig):
    """Evenly spaced clips of one video, for evaluation; nothing is random."""

    kind: Literal["dense"] = "dense"
    num_clips: int = Field(default=10, ge=1, le=1000)
    """Clips taken from each item."""


def num_starts(num_frames_in_video: int, config: ClipConfig) -> int:
    """How many frames a clip may start at: those from which it fits, or all if it fits from none."""
    fitting = num_frames_in_video - (config.num_frames - 1) * config.stride
    return fitting if fitting > 0 else num_frames_in_video


def looped_clip(start: int, num_frames_in_video: int, config: ClipConfig) -> FrameNumbers:
    """Frame numbers of the clip from `start`; past the last frame it goes on from frame 0."""
    return (start + config.stride * np.arange(config.num_frames)) % num_frames_in_video


def uniform_clips(
    num_frames_in_video: int, config: UniformConfig, rng: np.random.Generator
) -> tuple[FrameNumbers, ...]:
    """Clips whose starts are uniform over those from which a clip fits; a short video loops.

    This is the training sampler of CVRL's linear evaluation (arXiv 2008.03800, released code).

    Args:
        num_frames_in_video: length of the video in frames, at least 1.
        config: what to draw.
        rng: where the randomness comes from.

    Returns:
        `config.num_clips` arrays, int64[t], each value in [0, num_frames_in_video).
    """
    starts = rng.integers(0, num_starts(num_frames_in_video, config), size=config.num_clips)
    return tuple(looped_clip(int(start), num_frames_in_video, config) for start in starts)


def dense_clips(num_frames_in_video: int, config: DenseConfig) -> tuple[FrameNumbers, ...]:
    """Evenly spaced clips: the rule of MAE-ST's released code with `use_offset` (arXiv 2205.09113).

    A clip covers S = num_frames * stride frames. With slack = max(L - S, 0), clip j of n starts at
    j * floor(slack / (n - 1)), and a single clip at floor(slack / 2). Its frames are spread from
    the first to the last of the S, rounded down, and those past the video's end become its last
    frame. So the last gap of a clip may be wider than `stride`, and a video with less slack than
    n - 1 frames gives n equal clips, as there.

    Args:
        num_frames_in_video: length L of the video in frames, at least 1.
        config: what to take.

    Returns:
        `config.num_clips` arrays, int64[t], ascending, each value in [0, num_frames_in_video).
    """
    covered = config.num_frames * config.stride
    slack = max(num_frames_in_video - covered, 0)
    if config.num_clips == 1:
        starts = [slack // 2]
    else:
        starts = [j * (slack // (config.num_clips - 1)) for j in range(config.num_clips)]
    # Whole numbers throughout: a float ramp may fall just short of a frame that it should reach.
    ramp = np.arange(config.num_frames) * (covered - 1) // max(config.num_frames - 1, 1)
    return tuple(np.minimum(start + ramp, num_frames_in_video - 1) for start in starts)
