"""What every decoder ends with: sound for the views that want it, clips."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from avrep import units
from avrep.media.canvas import Pictures
from avrep.media.media_file import MediaFile
from avrep.media.pyav_audio import read_sound
from avrep.types import Clip, ClipTimes, Geometry


class Sound(NamedTuple):
    """The sound of a view."""

    samples: npt.NDArray[np.float32]
    rate_hz: int


def read_sounds(
    media: MediaFile, views: Sequence[ClipTimes], geometries: Sequence[Geometry]
) -> list[Sound | None]:
    """The sound of each view that wants any."""
    wanted = [
        (view.audio_s, geometry.rate_hz)
        for view, geometry in zip(views, geometries, strict=True)
        if view.audio_s is not None
    ]
    if not wanted:
        return [None] * len(views)
    intervals_s, rates_hz = zip(*wanted, strict=True)
    left = map(Sound._make, read_sound(media, intervals_s, rates_hz))
    return [None if view.audio_s is None else next(left) for view in views]


def clips(
    views: Sequence[ClipTimes],
    pictures: Pictures,
    sounds: Sequence[Sound | None],
    media: MediaFile,
) -> tuple[Clip, ...]:
    """Put sight and sound of each view together, with what `media` counted on the way."""
    spent = media.clock.times()
    return tuple(
        Clip(
            video=video,
            pts_s=pts_s,
            audio=sound.samples if sound else None,
            audio_start_s=units.sample_at(view.audio_s[0], sound.rate_hz) / sound.rate_hz
            if view.audio_s and sound
            else 0.0,
            first_frame_s=float(view.frames_s[0]) if len(view.frames_s) else 0.0,
            rate_hz=sound.rate_hz if sound else 0,
            num_bad_packets=media.num_bad_packets,
            spent=spent,
        )
        for view, (video, pts_s), sound in zip(views, pictures, sounds, strict=True)
    )
