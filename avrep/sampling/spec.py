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
from avrep.sampling.sound import SoundConfig, sound_crop
from avrep.sampling.speeds import SpeedsConfig, sample_speeds
from avrep.sampling.sync import SyncConfig, sync_clip
from avrep.types import ClipTimes, Geometry, MediaItem, VideoStream
from avrep.units import mid_frame_s, num_frames

# Stored times are ratios of integers turned into doubles.
_CLOSE_FRAMES = 1e-6

VideoSamplerConfig = PairConfig | SpeedsConfig | UniformConfig | DenseConfig
SamplerConfig = Annotated[
    VideoSamplerConfig | SoundConfig | SyncConfig, Field(discriminator="kind")
]


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewSpec:
    """Which clips of an item are wanted, and the form in which they are decoded."""

    sampler: SamplerConfig
    geometry: Geometry


def wants_video(spec: ViewSpec) -> bool:
    return not isinstance(spec.sampler, SoundConfig)


def wants_audio(spec: ViewSpec) -> bool:
    return isinstance(spec.sampler, SoundConfig | SyncConfig)


def num_frames_in_view(spec: ViewSpec) -> int:
    """Frames of each clip; 0 where only sound is wanted."""
    return 0 if isinstance(spec.sampler, SoundConfig) else spec.sampler.num_frames


def sound_in_view_s(spec: ViewSpec) -> float:
    """Seconds of sound that each clip has at most."""
    return spec.sampler.duration_s if isinstance(spec.sampler, SoundConfig | SyncConfig) else 0.0


def least_item_s(spec: ViewSpec) -> float:
    """Items that last less cannot give what is wanted; samplers of pictures loop, and take any."""
    match spec.sampler:
        case SoundConfig(min_s=min_s):
            return min_s
        case SyncConfig():
            return spec.sampler.duration_s + 2 * spec.sampler.reach_s
        case _:
            return 0.0


def num_views(spec: ViewSpec) -> int:
    """How many clips `draw_views` gives for one item."""
    match spec.sampler:
        case PairConfig():
            return 2
        case SpeedsConfig():
            return 3
        case UniformConfig(num_clips=num_clips) | DenseConfig(num_clips=num_clips):
            return num_clips
        case SoundConfig() | SyncConfig():
            return 1
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
        `num_views(spec)` times of clips.

    Raises:
        MediaError: the item lacks a stream that is wanted, has no usable frame rate or duration, or
            is too short for a sampler that does not loop.
    """
    match spec.sampler:
        case SoundConfig():
            return (_sound_times(item, spec.sampler, rng),)
        case SyncConfig():
            return (sync_clip(item, spec.sampler, rng),)
        case _:
            return _video_views(item, spec.sampler, rng)


def _video_views(
    item: MediaItem, sampler: VideoSamplerConfig, rng: np.random.Generator
) -> tuple[ClipTimes, ...]:
    video = item.video
    if video is None:
        raise MediaError("video", "no video stream")
    length, fps = counted_frames(video, item.duration_s, sampler.fps)
    keyframes = _keyframes(video, length, fps)
    match sampler:
        case PairConfig():
            clips: tuple[FrameNumbers, ...] = sample_pair(length, sampler, rng, keyframes)
        case SpeedsConfig():
            clips = sample_speeds(length, sampler, rng, keyframes)
        case UniformConfig():
            clips = uniform_clips(length, sampler, rng, keyframes)
        case DenseConfig():
            clips = dense_clips(length, sampler, keyframes)
        case _:
            assert_never(sampler)
    return tuple(clip_times(clip, fps, video.start_s) for clip in clips)


def _sound_times(item: MediaItem, sampler: SoundConfig, rng: np.random.Generator) -> ClipTimes:
    start_s, end_s = sound_span_s(item)
    first_s, last_s = sound_crop(end_s - start_s, sampler, rng)
    return ClipTimes(frames_s=np.zeros(0), audio_s=(start_s + first_s, start_s + last_s))


def sound_span_s(item: MediaItem) -> tuple[float, float]:
    """From an item's first sample to its last, in seconds of the item.

    Raises:
        MediaError: it has no sound.
    """
    if item.audio is None:
        raise MediaError("audio", "no sound stream")
    end_s = item.duration_s if item.audio.end_s is None else item.audio.end_s
    return item.audio.start_s, end_s


def counted_frames(video: VideoStream, item_s: float, asked_fps: float | None) -> tuple[int, float]:
    """The length of a stream in frames, and the rate at which they are counted.

    Raises:
        MediaError: the stream has no usable frame rate or duration.
    """
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


def clip_times(clip: FrameNumbers, fps: float, start_s: float) -> ClipTimes:
    """The middle of each frame's display, in seconds of the item."""
    return ClipTimes(frames_s=np.array([start_s + mid_frame_s(int(frame), fps) for frame in clip]))


def _keyframes(video: VideoStream, length: int, fps: float) -> FrameNumbers:
    """Numbers of the key frames among the frames counted, ascending.

    A counted frame is shown by the instant in its middle, so a key frame is the first of them whose
    middle is not before it.
    """
    numbers = np.ceil((video.keyframes_s - video.start_s) * fps - 0.5 - _CLOSE_FRAMES)
    return np.unique(np.clip(numbers, 0, None).astype(np.int64)[numbers < length])
