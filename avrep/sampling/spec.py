"""What an objective asks of each item, and the instants that answer it."""

import math
from dataclasses import dataclass
from typing import Annotated, assert_never

import numpy as np
from pydantic import Field

from avrep.errors import MediaError
from avrep.sampling.clips import (
    DenseConfig,
    FrameNumbers,
    UniformConfig,
    dense_clips,
    uniform_clips,
)
from avrep.sampling.pairs import PairConfig, sample_pair
from avrep.sampling.speeds import SpeedsConfig, sample_speeds
from avrep.types import ClipTimes, Geometry, MediaItem, VideoStream
from avrep.units import mid_frame_s, num_frames

# Stored times are ratios of integers turned into doubles.
_CLOSE_FRAMES = 1e-6

SamplerConfig = Annotated[
    PairConfig | SpeedsConfig | UniformConfig | DenseConfig, Field(discriminator="kind")
]


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewSpec:
    """Which clips of an item are wanted, and the form in which they are decoded."""

    sampler: SamplerConfig
    geometry: Geometry


def num_views(spec: ViewSpec) -> int:
    """How many clips `draw_views` gives for one item."""
    match spec.sampler:
        case PairConfig():
            return 2
        case SpeedsConfig():
            return 3
        case UniformConfig(num_clips=num_clips) | DenseConfig(num_clips=num_clips):
            return num_clips
        case _:
            assert_never(spec.sampler)


def draw_views(spec: ViewSpec, item: MediaItem, rng: np.random.Generator) -> tuple[ClipTimes, ...]:
    """The instants of an item that its clips want.

    Frames are counted at the sampler's `fps`, or at the stream's own rate. Each time is the middle
    of a frame's display, so that no rounding on the way to a decoder can pick the neighbour, and is
    given from the item's start, so the stream's own start is added.

    Args:
        spec: what is wanted.
        item: the catalogue's row.
        rng: where the randomness comes from; a dense sampler leaves it untouched.

    Returns:
        `num_views(spec)` times of clips, without sound.

    Raises:
        MediaError: the item has no video stream, or no usable frame rate or duration.
    """
    video = item.video
    if video is None:
        raise MediaError("video", "no video stream")
    length, fps = _counted_frames(video, item.duration_s, spec.sampler.fps)
    keyframes = _keyframes(video, length, fps)
    match spec.sampler:
        case PairConfig():
            clips: tuple[FrameNumbers, ...] = sample_pair(length, spec.sampler, rng, keyframes)
        case SpeedsConfig():
            clips = sample_speeds(length, spec.sampler, rng, keyframes)
        case UniformConfig():
            clips = uniform_clips(length, spec.sampler, rng, keyframes)
        case DenseConfig():
            clips = dense_clips(length, spec.sampler, keyframes)
        case _:
            assert_never(spec.sampler)
    return tuple(_times(clip, fps, video.start_s) for clip in clips)


def _counted_frames(
    video: VideoStream, item_s: float, asked_fps: float | None
) -> tuple[int, float]:
    """The length of a stream in frames, and the rate at which they are counted."""
    fps = video.fps if asked_fps is None else asked_fps
    if not (math.isfinite(fps) and fps > 0):
        raise MediaError("video", f"frame rate is {fps}, not above 0")
    if asked_fps is None and video.num_frames > 0:
        return video.num_frames, fps
    # An item's duration counts sound that outlasts the picture, so it is the second choice.
    own_s = video.num_frames / video.fps if video.fps > 0 else 0.0
    duration_s = own_s if own_s > 0 else item_s - video.start_s
    if not math.isfinite(duration_s):
        raise MediaError("video", f"duration is {duration_s} s")
    return num_frames(duration_s, fps), fps


def _times(clip: FrameNumbers, fps: float, start_s: float) -> ClipTimes:
    return ClipTimes(frames_s=np.array([start_s + mid_frame_s(int(frame), fps) for frame in clip]))


def _keyframes(video: VideoStream, length: int, fps: float) -> FrameNumbers:
    """Numbers of the key frames among the frames counted, ascending.

    A counted frame is shown by the instant in its middle, so a key frame is the first of them whose
    middle is not before it.
    """
    numbers = np.ceil((video.keyframes_s - video.start_s) * fps - 0.5 - _CLOSE_FRAMES)
    return np.unique(np.clip(numbers, 0, None).astype(np.int64)[numbers < length])
