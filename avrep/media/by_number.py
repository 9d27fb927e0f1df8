"""Decoding with a library that finds frames by number: numbers from times, then one size for all."""

from collections.abc import Callable, Sequence
from time import perf_counter
from typing import BinaryIO, Protocol

import numpy as np
import numpy.typing as npt

from avrep.errors import MediaError
from avrep.media.assemble import Pictures, by_view, clips, read_sounds, require_room
from avrep.media.frame_times import FrameTimes, read_frame_times, shown_at
from avrep.media.limits import DecodeLimits
from avrep.media.media_file import MediaFile
from avrep.media.scale import FrameScaler
from avrep.types import Clip, ClipTimes, Geometry

# Full-size frames in memory at once: eight in full HD, one where that is too many.
_CHUNK_BYTES = 8 * 1920 * 1080 * 3


class NumberedFrames(Protocol):
    """A library's reader of one video stream."""

    def rgb(self, numbers: Sequence[int]) -> npt.NDArray[np.uint8]:
        """Frames by their number in `FrameTimes`, ascending; uint8[n h w 3], turned for display."""
        ...


Opener = Callable[[bytes | BinaryIO, MediaFile, FrameTimes], NumberedFrames]
"""Opens a source with the library, given what PyAV found: the chosen stream and its frames.

Raises MediaError where the library counts other frames than PyAV.
"""


def decode_by_number(
    source: bytes | BinaryIO,
    views: Sequence[ClipTimes],
    geometry: Geometry,
    limits: DecodeLimits,
    opener: Opener,
) -> tuple[Clip, ...]:
    """Decode all views; sound, frame times and limits are PyAV's, so that all decoders agree.

    The library reads and decodes in one call, which counts as decoding in the clips' `spent`.

    Raises:
        MediaError: as PyAV does, and stage "video" where the library fails or counts other frames.
    """
    with MediaFile(source, limits) as media:
        sounds, rate_hz = read_sounds(media, views, geometry)
        pictures = _read_pictures(source, media, views, geometry, opener)
        return clips(views, pictures, sounds, rate_hz, media)


def _read_pictures(
    source: bytes | BinaryIO,
    media: MediaFile,
    views: Sequence[ClipTimes],
    geometry: Geometry,
    opener: Opener,
) -> Pictures:
    times_s = np.concatenate([view.frames_s for view in views]) if views else np.zeros(0)
    if not len(times_s):
        return by_view(np.zeros((0, 0, 0, 3), np.uint8), np.zeros(0), views)
    if not media.is_fresh:
        media.reopen()
    if media.video is None:
        raise MediaError("video", "frames are wanted but there is no video stream")
    table = read_frame_times(media)
    clock, began_s = media.clock, perf_counter()
    reader = opener(source, media, table)
    clock.decode_s += perf_counter() - began_s
    wanted, place = np.unique(shown_at(table.pts_s, times_s), return_inverse=True)
    unique, scaler = None, None
    codec = media.video.codec_context
    num_at_once = max(1, _CHUNK_BYTES // (codec.width * codec.height * 3))
    for first in range(0, len(wanted), num_at_once):
        chunk = wanted[first : first + num_at_once]
        began_s = perf_counter()
        stored = reader.rgb(chunk.tolist())
        decoded_s = perf_counter()
        clock.decode_s += decoded_s - began_s
        if unique is None or scaler is None:
            scaler = FrameScaler(geometry, stored.shape[2], stored.shape[1], turn_deg=0)
            require_room(len(times_s), scaler, media.limits)
            unique = np.empty((len(wanted), scaler.height_px, scaler.width_px, 3), np.uint8)
        for row, frame in enumerate(stored, start=first):
            unique[row] = scaler.resized(frame)
        clock.convert_s += perf_counter() - decoded_s
    if unique is None:
        raise MediaError("video", "no frame could be decoded")
    return by_view(unique[place], table.pts_s[wanted[place]], views)
