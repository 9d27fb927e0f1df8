"""Two clips of one video whose distance in time follows a decreasing law.

CVRL, "Spatiotemporal Contrastive Video Representation Learning" (arXiv 2008.03800), section 3.2.
Where the paper leaves details open, the released code is followed.
"""

import math
from typing import Literal

import numpy as np
from pydantic import Field

from avrep.sampling.clips import (
    NONE_KNOWN,
    ClipConfig,
    FrameNumbers,
    looped_clip,
    num_starts,
    snapped,
)


class PairConfig(ClipConfig):
    """Two clips of one video; near ones are likelier than far ones."""

    kind: Literal["pair"] = "pair"
    power: float = Field(default=1.0, gt=0, le=16)
    """Power p of the law: an interval k has density proportional to 1 - (k / M)^p."""


def sample_pair(
    num_frames_in_video: int,
    config: PairConfig,
    rng: np.random.Generator,
    keyframes: FrameNumbers = NONE_KNOWN,
) -> tuple[FrameNumbers, FrameNumbers]:
    """Frame numbers of two clips, in random order.

    With L frames in the video, n in a clip and stride s, let M = L - (n - 1) s be the number of
    starts from which a clip fits. The interval d between the two starts is drawn from
    `interval_cdf`, the earlier start uniformly from {0, ..., M - d - 1}. In a video too short for a
    clip (M < 1) both starts are independent and uniform over its L frames, and the clips loop.

    The released code finds out whether a video is short by asking whether M = L, which holds for
    clips of one frame in videos of any length too; avrep keeps the law for those.

    Args:
        num_frames_in_video: length L of the video in frames, at least 1.
        config: what to draw.
        rng: where the randomness comes from; snapping draws nothing more.
        keyframes: int64[k], numbers of the key frames, ascending; empty where they are not known.
            With `snap_to_keyframe` each clip snaps by itself, so the law above holds for the
            starts before they are moved; both may land on one key frame and become the same clip
            (29 % of pairs on the clips of GMDCSA24, which last 3 to 12 s).

    Returns:
        Two arrays int64[t], each value in [0, num_frames_in_video).
    """
    starts = num_starts(num_frames_in_video, config)
    if num_frames_in_video <= (config.num_frames - 1) * config.stride:
        first, second = (int(start) for start in rng.integers(0, starts, size=2))
    else:
        u = rng.random()
        if config.power == 1.0:
            interval = interval_in_closed_form(u, starts)
        else:
            interval = interval_by_bisection(u, starts, config.power)
        first = int(rng.integers(0, starts - interval))
        second = first + interval
    if rng.random() < 0.5:
        first, second = second, first
    return (
        looped_clip(snapped(first, keyframes, config), num_frames_in_video, config),
        looped_clip(snapped(second, keyframes, config), num_frames_in_video, config),
    )


def interval_cdf(k: float, max_interval: int, power: float) -> float:
    """F(k) = (k / M) (p + 1 - (k / M)^p) / p, the chance of an interval below k, for k in [0, M]."""
    part = k / max_interval
    return part * (power + 1 - part**power) / power


def interval_in_closed_form(u: float, max_interval: int) -> int:
    """The inverse of `interval_cdf` at u in [0, 1) for p = 1, rounded down: M (1 - sqrt(1 - u))."""
    return min(math.floor(max_interval * (1 - math.sqrt(1 - u))), max_interval - 1)


def interval_by_bisection(u: float, max_interval: int, power: float) -> int:
    """The largest whole k below M with F(k) <= u, for u in [0, 1) and any power."""
    low, high = 0, max_interval
    while high - low > 1:
        middle = (low + high) // 2
        if interval_cdf(middle, max_interval, power) > u:
            high = middle
        else:
            low = middle
    return low
