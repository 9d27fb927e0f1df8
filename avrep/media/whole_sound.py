"""All of an item's sound."""

import numpy as np

from avrep.errors import MediaError
from avrep.media.item_clips import read_clips
from avrep.types import Clip, ClipTimes, Geometry, MediaItem


def read_whole_sound(item: MediaItem, root: str, rate_hz: int) -> Clip:
    """Read an item's sound from its first sample to its last.

    Args:
        item: the catalogue's row.
        root: what its shard is relative to.
        rate_hz: to resample it to.

    Raises:
        MediaError: it has no sound, or none that can be decoded.
        ShardError: its bytes cannot be had.
    """
    if item.audio is None:
        raise MediaError("audio", "no sound stream")
    end_s = item.duration_s if item.audio.end_s is None else item.audio.end_s
    times = ClipTimes(frames_s=np.zeros(0), audio_s=(item.audio.start_s, end_s))
    return read_clips(item, root, [times], Geometry(rate_hz=rate_hz))[0]
