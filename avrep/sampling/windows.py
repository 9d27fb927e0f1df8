"""Windows of an item: clips that say which stretch of it they show; nothing is random.

The rule for pictures and sound is one: a place is counted in frames or in samples, and a window lies
within the stream wherever the stream is long enough.
"""

from dataclasses import dataclass
from typing import Annotated, Self

import numpy as np
from pydantic import Field, model_validator

from avrep.errors import MediaError
from avrep.frozen import FrozenConfig
from avrep.sampling.clips import ClipConfig, even_starts, spread_clip
from avrep.sampling.spec import clip_times, counted_frames, sound_span_s
from avrep.types import ClipTimes, MediaItem
from avrep.units import frame_at, sample_at


class SpacingConfig(FrozenConfig):
    """Where an item's windows start; one of the three."""

    num_clips: Annotated[int, Field(ge=1, le=1000)] | None = None
    """Evenly spaced from the first to the last that fits, as in evaluation; one is in the middle. An
    item too short for so many different ones has fewer."""
    every_s: Annotated[float, Field(gt=0, le=3600, allow_inf_nan=False)] | None = None
    """At 0, every_s, 2 every_s, ... as long as the window fits; at least one."""
    at_s: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    """A single one from here on; earlier where it would not fit."""

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if sum(value is not None for value in (self.num_clips, self.every_s, self.at_s)) != 1:
            raise ValueError("give one of num_clips, every_s and at_s")
        return self

    def expected(self, length_s: float, covered_s: float) -> int:
        """About how many windows of `covered_s` something of `length_s` has."""
        if self.every_s is None:
            return self.num_clips or 1
        return max(1, int((length_s - covered_s) / self.every_s) + 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemWindow:
    """A clip of an item, and the half-open stretch of it that it shows."""

    start_s: float
    end_s: float
    times: ClipTimes


def window_starts(length: int, covered: int, rate_hz: float, spacing: SpacingConfig) -> list[int]:
    """Where windows start, ascending, each a different place.

    Args:
        length: of the stream, in frames or samples.
        covered: what a window covers of it, likewise.
        rate_hz: frames or samples a second.
        spacing: which are wanted.
    """
    slack = max(length - covered, 0)
    if spacing.at_s is not None:
        return [min(frame_at(spacing.at_s, rate_hz), slack)]
    if spacing.every_s is not None:
        num = int(slack / (spacing.every_s * rate_hz)) + 2
        places = [frame_at(number * spacing.every_s, rate_hz) for number in range(num)]
        return sorted({place for place in places if place <= slack})
    return sorted(set(even_starts(length, covered, spacing.num_clips or 1)))


def video_windows(
    item: MediaItem, clip: ClipConfig, spacing: SpacingConfig
) -> tuple[ItemWindow, ...]:
    """Windows of an item's pictures; frames within a window are spread as `dense_clips` spreads them.

    Args:
        item: the catalogue's row.
        clip: frames of a window, their distance and the rate at which they are counted.
        spacing: where windows start; `at_s` is counted from the item's start.

    Raises:
        MediaError: no pictures, or no usable frame rate or duration.
    """
    video = item.video
    if video is None:
        raise MediaError("video", "no video stream")
    length, fps = counted_frames(video, item.duration_s, clip.fps)
    covered = clip.num_frames * clip.stride
    starts = window_starts(length, covered, fps, _from(video.start_s, spacing))
    return tuple(
        ItemWindow(
            start_s=video.start_s + start / fps,
            end_s=video.start_s + min(start + covered, length) / fps,
            times=clip_times(spread_clip(start, length, clip), fps, video.start_s),
        )
        for start in starts
    )


def sound_windows(
    item: MediaItem, duration_s: float, rate_hz: int, spacing: SpacingConfig
) -> tuple[ItemWindow, ...]:
    """Windows of an item's sound; sound no longer than a window is given whole.

    Args:
        item: the catalogue's row.
        duration_s: of a window.
        rate_hz: at which the sound is to be sampled; windows start on whole samples.
        spacing: where windows start; `at_s` is counted from the item's start.

    Raises:
        MediaError: no sound, or it has no length.
    """
    first_s, last_s = sound_span_s(item)
    if not last_s > first_s:
        raise MediaError("audio", f"sound from {first_s} to {last_s} s has no length")
    length, covered = sample_at(last_s - first_s, rate_hz), sample_at(duration_s, rate_hz)
    return tuple(
        _sound_window(first_s, start, min(covered, length), rate_hz)
        for start in window_starts(length, covered, rate_hz, _from(first_s, spacing))
    )


def _sound_window(first_s: float, start: int, num_samples: int, rate_hz: int) -> ItemWindow:
    start_s, end_s = first_s + start / rate_hz, first_s + (start + num_samples) / rate_hz
    times = ClipTimes(frames_s=np.zeros(0), audio_s=(start_s, end_s))
    return ItemWindow(start_s=start_s, end_s=end_s, times=times)


def _from(first_s: float, spacing: SpacingConfig) -> SpacingConfig:
    """The same, with `at_s` counted from the stream's start."""
    if spacing.at_s is None:
        return spacing
    return SpacingConfig(at_s=max(spacing.at_s - first_s, 0.0))
