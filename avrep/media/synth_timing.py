"""Flash-and-beep clips: the ground truth of every timing test.

At known frames the picture is white for exactly one frame, and on the sample at which that frame
comes on display a beep begins. Every frame carries its number.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate, cycle, islice
from pathlib import Path

import numpy as np
import numpy.typing as npt

from avrep.errors import ConfigError
from avrep.media.frame_code import draw_frame_code
from avrep.media.synth_sound import beep
from avrep.media.synth_write import AudioCodec, Rotation, write_video
from avrep.types import Audio

_AAC_FRAME = 1024
"""Samples in an AAC frame, and those that FFmpeg's encoder puts before the first real one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TimingSpec:
    """What a timing clip is made of. The defaults are an everyday MP4 of three seconds."""

    width_px: int = 128
    height_px: int = 96
    """Size as displayed; a quarter turn stores it the other way round."""
    fps: Fraction = Fraction(24)
    num_frames: int = 72
    flash_frames: tuple[int, ...] = (9, 27, 48)
    durations: tuple[int, ...] = (1,)
    """How many times 1 / fps each frame stays, in turn: (1, 3, 2) gives a variable rate."""
    video_start_s: Fraction = Fraction(0)
    """When the first frame is shown; a multiple of 1 / fps."""
    audio_start_s: Fraction = Fraction(0)
    """When the first sample is heard; a multiple of 1 / rate_hz, and with AAC 0 or at least 1024
    samples. The sound ends with the picture."""
    rate_hz: int = 16000
    audio_codec: AudioCodec = "aac"
    """"pcm_s16le", for .mov and .mkv, keeps every sample as it was."""
    gop_frames: int = 12
    num_b_frames: int = 2
    rotation_deg: Rotation = 0
    """Clockwise turn that players are asked to apply; upright frames come out."""

    def __post_init__(self) -> None:
        if (self.video_start_s * self.fps).denominator != 1:
            raise ConfigError(f"video_start_s must be a multiple of 1/{self.fps} s")
        lead = self.audio_start_s * self.rate_hz
        if lead.denominator != 1 or (self.audio_codec == "aac" and 0 < lead < _AAC_FRAME):
            raise ConfigError(
                f"audio_start_s must be a multiple of 1/{self.rate_hz} s, and with aac 0 or at "
                f"least {_AAC_FRAME}/{self.rate_hz}; got {self.audio_start_s}"
            )
        if not all(0 <= frame < self.num_frames for frame in self.flash_frames):
            raise ConfigError(f"flash_frames must lie in [0, {self.num_frames})")
        if min(self.durations, default=0) < 1:
            raise ConfigError(f"durations must be one or more counts from 1 up: {self.durations}")


@dataclass(frozen=True, slots=True, kw_only=True)
class TimingTruth:
    """Where everything is, in seconds on the container's clock, exactly."""

    frame_times_s: tuple[Fraction, ...]
    """Start of display of each frame. Matroska keeps whole milliseconds, so there it is rounded."""
    end_s: Fraction
    """End of display of the last frame."""
    flash_s: tuple[Fraction, ...]
    beep_s: tuple[Fraction, ...]
    """First sample of each beep: the sample nearest to the flash."""
    beep_samples: tuple[int, ...]
    """The same, counted from the first sample of the sound."""
    start_s: Fraction
    """When the earliest stream begins. FFmpeg presents AAC's 1024 priming samples where the sound
    begins later than zero in .mp4 or .mov, so there the sound begins that much earlier."""


def timing_truth(spec: TimingSpec, suffix: str = ".mp4") -> TimingTruth:
    """What a clip of `spec` holds when written to a file that ends in `suffix`."""
    first = spec.video_start_s * spec.fps
    lengths = islice(cycle(spec.durations), spec.num_frames)
    edges_s = tuple((first + edge) / spec.fps for edge in accumulate(lengths, initial=0))
    flash_s = tuple(edges_s[frame] for frame in spec.flash_frames)
    beep_samples = tuple(round((time_s - spec.audio_start_s) * spec.rate_hz) for time_s in flash_s)
    primed = spec.audio_codec == "aac" and spec.audio_start_s > 0 and suffix in (".mp4", ".mov")
    heard_s = spec.audio_start_s - (Fraction(_AAC_FRAME, spec.rate_hz) if primed else 0)
    return TimingTruth(
        frame_times_s=edges_s[:-1],
        end_s=edges_s[-1],
        flash_s=flash_s,
        beep_s=tuple(spec.audio_start_s + Fraction(k, spec.rate_hz) for k in beep_samples),
        beep_samples=beep_samples,
        start_s=min(spec.video_start_s, heard_s),
    )


def write_timing_clip(path: Path, spec: TimingSpec) -> TimingTruth:
    """Write the clip and return where everything in it is.

    Raises:
        ConfigError: a beep does not fit the sound, or the path's ending or codec cannot be written.
    """
    truth = timing_truth(spec, path.suffix)
    ticks = [int(time_s * spec.fps) for time_s in truth.frame_times_s]
    write_video(
        path,
        _frames(spec),
        _sound(spec, truth),
        frame_ticks=ticks,
        tick_s=1 / spec.fps,
        rate_hz=spec.rate_hz,
        sound_start=int(spec.audio_start_s * spec.rate_hz),
        gop_frames=spec.gop_frames,
        num_b_frames=spec.num_b_frames,
        audio_codec=spec.audio_codec,
        rotation_deg=spec.rotation_deg,
    )
    return truth


def _frames(spec: TimingSpec) -> Iterator[npt.NDArray[np.uint8]]:
    ramp = np.linspace(30, 70, spec.width_px, dtype=np.uint8)[None, :, None]
    calm = np.broadcast_to(ramp, (spec.height_px, spec.width_px, 3))
    for frame in range(spec.num_frames):
        pixels = np.full_like(calm, 255) if frame in spec.flash_frames else calm
        upright = draw_frame_code(pixels, frame)
        # Stored turned the other way, so that the player's turn sets it upright.
        yield np.ascontiguousarray(np.rot90(upright, spec.rotation_deg // 90))


def _sound(spec: TimingSpec, truth: TimingTruth) -> Audio:
    total = int((truth.end_s - spec.audio_start_s) * spec.rate_hz)
    template = beep(spec.rate_hz)
    sound = np.zeros(max(total, 0), np.float32)
    for frame, start in zip(spec.flash_frames, truth.beep_samples, strict=True):
        if not 0 <= start <= total - template.size:
            raise ConfigError(
                f"the beep of frame {frame} needs samples {start} to {start + template.size}, "
                f"but the sound has 0 to {total}; mend: move the flash or audio_start_s"
            )
        sound[start : start + template.size] += template
    return sound
