"""Two clips of one video at two speeds: a query, its key at the same speed, its key at the other.

RSPNet, "Relative Speed Perception for Unsupervised Video Representation Learning" (Chen et al.,
AAAI 2021, arXiv 2011.07949). The released code, PeihaoChen/RSPNet, is followed where it decides.
"""

from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from avrep.sampling.clips import NONE_KNOWN, ClipConfig, FrameNumbers, snapped


class SpeedsConfig(ClipConfig):
    """A clip for the query and one for the keys, each taken at speed 1 or faster.

    `num_frames` counts the frames of each view, whatever its speed.
    """

    kind: Literal["speeds"] = "speeds"
    stride: int = Field(default=1, ge=1, le=1024)
    """Distance between neighbouring frames at speed 1, in frames of the video at `fps`."""
    speeds: tuple[Annotated[int, Field(ge=1, le=64)], ...] = Field(default=(2,), min_length=1)
    """Faster speeds, one of which is drawn for each item, all equally likely; at speed v the stride
    is v times as long. The released choices are (2,), (4,) and (4, 2, 1); a drawn 1 makes all views
    equally fast. The released code draws the speed for a batch and lets the views of slower ones
    have more frames; here it is drawn for an item and all views have `num_frames`."""
    normal_share: float = Field(default=0.5, ge=0, le=1)
    """Chance that the query has speed 1, drawn for each item by itself. The released code takes a
    random half of each rank's batch (its alpha 0.5), which would depend on the number of ranks."""

    @property
    def span_frames(self) -> int:
        """Frames at `stride` of the clip that the views are taken from: 32 for 16 at speed 2."""
        return self.num_frames * max(self.speeds)


def sample_speeds(
    num_frames_in_video: int,
    config: SpeedsConfig,
    rng: np.random.Generator,
    keyframes: FrameNumbers = NONE_KNOWN,
) -> tuple[FrameNumbers, FrameNumbers, FrameNumbers]:
    """Frame numbers of the query, of the key at its speed and of the key at the other speed.

    Both keys start at one frame, and the query at another, drawn independently: each start is uniform
    over those from which a clip of `span_frames` fits. Of that clip a view at speed v takes the
    first frame and every v-th after it, `num_frames` of them. In a video too short for it both clips
    begin at frame 0 and loop, as in the released sampler of random clips (its other one, which
    spreads frames evenly over the video, would change their speed).

    Args:
        num_frames_in_video: length of the video in frames, at least 1.
        config: what to draw.
        rng: where the randomness comes from; snapping draws nothing more.
        keyframes: int64[k], numbers of the key frames, ascending; empty where they are not known.
            With `snap_to_keyframe` each clip snaps by itself, and both may become the same one.

    Returns:
        Three arrays int64[t], each value in [0, num_frames_in_video).
    """
    fast = config.speeds[int(rng.integers(0, len(config.speeds)))]
    own, other = (1, fast) if rng.random() < config.normal_share else (fast, 1)
    starts = max(num_frames_in_video - (config.span_frames - 1) * config.stride, 1)
    query, key = (
        snapped(int(start), keyframes, config) for start in rng.integers(0, starts, size=2)
    )
    steps = config.stride * np.arange(config.num_frames)
    return (
        (query + own * steps) % num_frames_in_video,
        (key + own * steps) % num_frames_in_video,
        (key + other * steps) % num_frames_in_video,
    )
