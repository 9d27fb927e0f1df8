"""A clip of pictures and a piece of sound that is shifted against it by a drawn offset.

Whether sound and picture belong together must be seen and heard, and nothing else may tell. So the
pictures' place is drawn first, among those places alone at which the sound of every offset lies
whole within the item's sound: neither silence at an end nor the pictures' place depends on the offset.

The sound's own place then does, and no law could keep both from it: sound from the very start of an
item can only be early. Who can tell by ear where in the item a sound is (a greeting, a fade) guesses
right up to 1 + 2 max_offset_s / slack times as often as chance, where the slack is what the item
lasts beyond pictures and reach. Items much longer than the clips give little away.
"""

from typing import Literal

import numpy as np
from pydantic import Field, model_validator

from avrep.errors import MediaError
from avrep.frozen import FrozenConfig
from avrep.types import ClipTimes, MediaItem

_LEAST_MARGIN_S = 0.001
"""Between the furthest jitter and the middle of two offsets, so that a clip's times tell which offset
was drawn."""


class SyncConfig(FrozenConfig):
    """Synchformer's clips (arXiv 2401.16423): 5 s at 25 frames a second, 21 offsets in +-2 s."""

    kind: Literal["sync"] = "sync"
    num_frames: int = Field(default=125, ge=1, le=4096)
    """Frames in a clip."""
    stride: int = Field(default=1, ge=1, le=1024)
    """Distance between neighbouring frames of a clip, counted at `fps`."""
    fps: float = Field(default=25.0, gt=0, le=1000)
    """Frames a second at which pictures are taken, whatever the video's own rate."""
    max_offset_s: float = Field(default=2.0, ge=0, le=60)
    """Sound begins up to this much before or after the pictures."""
    num_offsets: int = Field(default=21, ge=1, le=1001)
    """Evenly spaced offsets from -max_offset_s to max_offset_s; 1: always together."""
    jitter_s: float = Field(default=0.05, ge=0, le=10)
    """The sound's start moves by up to this much more, drawn evenly."""

    @model_validator(mode="after")
    def _offsets_stay_apart(self) -> "SyncConfig":
        if self.num_offsets % 2 == 0:
            raise ValueError(
                f"num_offsets must be odd, so that 0 is one of them: {self.num_offsets}"
            )
        # The sound then begins on a sample, up to half a sample from the drawn instant.
        if self.num_offsets > 1 and self.jitter_s > self.step_s / 2 - _LEAST_MARGIN_S:
            raise ValueError(
                f"jitter_s must be {_LEAST_MARGIN_S:g} s or more below half the {self.step_s:g} s "
                f"between two offsets, got {self.jitter_s}"
            )
        return self

    @property
    def duration_s(self) -> float:
        """Of the pictures, and of the sound."""
        return self.num_frames * self.stride / self.fps

    @property
    def reach_s(self) -> float:
        """How far the sound may start from the pictures."""
        return self.jitter_s + (self.max_offset_s if self.num_offsets > 1 else 0.0)

    @property
    def step_s(self) -> float:
        """Between neighbouring offsets."""
        return 2 * self.max_offset_s / max(self.num_offsets - 1, 1)


def offsets_s(config: SyncConfig) -> tuple[float, ...]:
    """The offsets in ascending order: how much later than the pictures the sound starts."""
    middle = config.num_offsets // 2
    return tuple((number - middle) * config.step_s for number in range(config.num_offsets))


def sync_clip(item: MediaItem, config: SyncConfig, rng: np.random.Generator) -> ClipTimes:
    """Times of the pictures and of the sound of one clip.

    The draws, in this order: the pictures' start, uniform; the number of the offset, uniform; the
    jitter, uniform.

    Args:
        item: with both streams; where the catalogue does not know when the sound ends, the item's
            end is taken for it.
        config: lengths and offsets.
        rng: where the randomness comes from.

    Raises:
        MediaError: stage "video" or "audio" where a stream is missing, "audio" where the two do not
            last long enough together.
    """
    if item.video is None or item.audio is None:
        raise MediaError("video" if item.video is None else "audio", "no such stream")
    reach_s = config.reach_s
    shown_end_s = item.video.start_s + item.video.num_frames / item.video.fps
    heard_end_s = item.duration_s if item.audio.end_s is None else item.audio.end_s
    first_s = max(item.video.start_s, item.audio.start_s + reach_s)
    last_s = min(shown_end_s, heard_end_s - reach_s) - config.duration_s
    if last_s < first_s:
        raise MediaError(
            "audio",
            f"pictures from {item.video.start_s:.2f} to {shown_end_s:.2f} s and sound from "
            f"{item.audio.start_s:.2f} to {heard_end_s:.2f} s have no {config.duration_s:g} s of "
            f"pictures with {reach_s:g} s more of sound on either side",
        )
    start_s = first_s + (last_s - first_s) * rng.random()
    offset_s = offsets_s(config)[int(rng.integers(config.num_offsets))]
    offset_s += config.jitter_s * (2 * rng.random() - 1)
    # The middle of each frame's display, so that no rounding picks the neighbour.
    places = np.arange(config.num_frames) * config.stride + 0.5
    sound_s = start_s + offset_s
    frames_s = np.asarray(start_s + places / config.fps, np.float64)
    return ClipTimes(frames_s=frames_s, audio_s=(sound_s, sound_s + config.duration_s))


def offset_number(config: SyncConfig, first_frame_s: float, audio_start_s: float) -> int:
    """The number of the offset that a clip was drawn with, from its times.

    Args:
        config: which offsets there are.
        first_frame_s: wanted time of the clip's first frame, in seconds of the item.
        audio_start_s: when its sound starts.
    """
    start_s = first_frame_s - 0.5 / config.fps
    number = round((audio_start_s - start_s) / config.step_s) if config.num_offsets > 1 else 0
    return min(max(number + config.num_offsets // 2, 0), config.num_offsets - 1)
