"""Seconds, frames and samples: each rounding rule once.

Frame i of a constant-rate stream is shown during [i / fps, (i + 1) / fps); sample k of a sound
is the instant k / rate_hz.
"""

import math

# Stored times are ratios of integers turned into doubles; a frame or sample is this close at most.
_EPSILON = 1e-6


def frame_at(time_s: float, fps: float) -> int:
    """Number of the frame that is on display at `time_s` (a boundary belongs to the later frame)."""
    return math.floor(time_s * fps + _EPSILON)


def mid_frame_s(frame: int, fps: float) -> float:
    """The instant in the middle of a frame's display: rounding cannot move it to a neighbour."""
    return (frame + 0.5) / fps


def num_frames(duration_s: float, fps: float) -> int:
    """How many frames a duration shows, at least one; a last frame cut short still counts."""
    return max(1, math.ceil(duration_s * fps - 1e-3))


def sample_at(time_s: float, rate_hz: int) -> int:
    """Number of the sample nearest to `time_s`; a tie goes to the later sample."""
    return math.floor(time_s * rate_hz + 0.5)


def num_samples(start_s: float, end_s: float, rate_hz: int) -> int:
    """How many samples the half-open interval holds, so that adjoining intervals adjoin exactly."""
    return sample_at(end_s, rate_hz) - sample_at(start_s, rate_hz)
