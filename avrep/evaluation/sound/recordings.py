"""Recordings of a data set, and their samples as encoders take them."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from avrep.errors import MediaError
from avrep.media.decode import decode
from avrep.media.limits import DecodeLimits
from avrep.media.local_file import local_item
from avrep.types import ClipTimes, Geometry

RATE_HZ = 16_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """A file with sound, or a part of one."""

    key: str
    """Unique in its data set; what output files call it."""
    path: Path
    start_s: float = 0.0
    end_s: float | None = None
    """None: to the end."""
    speaker: str = ""
    """Recordings of one speaker are not independent of one another; "" where none is known."""

    @property
    def cluster(self) -> str:
        """What it is not independent of: its speaker's recordings, or itself alone."""
        return self.speaker or self.key


def read_wave(recording: Recording, limits: DecodeLimits | None = None) -> Tensor:
    """float32[s]: mono at 16 kHz, in [-1, 1].

    Raises:
        ConfigError: there is no such file.
        MediaError: it has no sound, or none that can be decoded.
    """
    try:
        with local_item(recording.path, limits) as (item, data):
            if item.audio is None:
                raise MediaError("audio", "it has no sound")
            end_s = item.duration_s if item.audio.end_s is None else item.audio.end_s
            if recording.end_s is not None:
                end_s = recording.end_s
            start_s = max(recording.start_s, item.audio.start_s)
            times = ClipTimes(frames_s=np.zeros(0), audio_s=(start_s, end_s))
            clip = decode(data, times, Geometry(rate_hz=RATE_HZ), limits=limits)
    except MediaError as error:
        raise MediaError(error.stage, f"{recording.path}: {error.reason}") from error
    assert clip.audio is not None
    return torch.from_numpy(clip.audio)
