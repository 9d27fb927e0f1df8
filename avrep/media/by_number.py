"""Decoding with a library that finds frames by number: numbers from times, then the sizes."""

from collections.abc import Callable, Sequence
from time import perf_counter
from typing import BinaryIO, Protocol

import numpy as np
import numpy.typing as npt

from avrep.errors import MediaError
from avrep.media.assemble import clips, read_sounds
from avrep.media.canvas import Canvas
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
    geometries: Sequence[Geometry],
    limits: DecodeLimits,
    opener: Opener,
) -> tuple[Clip, ...]:
    """Decode all views; sound, frame times and limits are PyAV's, so that all decoders agree.

    The library reads and decodes in one call, which counts as decoding in the clips' `spent`.

    Raises:
        MediaError: as PyAV does, and stage "video" where the library fails or counts other frames.
    """
    with MediaFile(source, limits) as media:
        sounds = read_sounds(media, views, geometries)
        canvas = Canvas(views, geometries, limits)
        _paint(source, media, canvas, opener)
        return clips(views, canvas.pictures(), sounds, media)


def _paint(source: bytes | BinaryIO, media: MediaFile, canvas: Canvas, opener: Opener) -> None:
    if not len(canvas.times_s):
        return
    if not media.is_fresh:
        media.reopen()
    if media.video is None:
        raise MediaError("video", "frames are wanted but there is no video stream")
    table = read_frame_times(media)
    clock, began_s = media.clock, perf_counter()
    reader = opener(source, media, table)
    clock.decode_s += perf_counter() - began_s
    numbers = shown_at(table.pts_s, canvas.times_s)
    canvas.pts_s[:] = table.pts_s[numbers]
    wanted, counts = np.unique(numbers, return_counts=True)
    places = np.split(np.argsort(numbers, kind="stable"), np.cumsum(counts)[:-1])
    codec = media.video.codec_context
    num_at_once = max(1, _CHUNK_BYTES // (codec.width * codec.height * 3))
    for first in range(0, len(wanted), num_at_once):
        chunk = wanted[first : first + num_at_once]
        began_s = perf_counter()
        stored = reader.rgb(chunk.tolist())
        decoded_s = perf_counter()
        clock.decode_s += decoded_s - began_s
        if not canvas.is_sized:
            canvas.size(stored.shape[2], stored.shape[1], turn_deg=0)
        for frame, of_frame in zip(stored, places[first : first + num_at_once], strict=True):
            for place in of_frame.tolist():
                canvas.fill(place, frame, FrameScaler.resized)
        clock.convert_s += perf_counter() - decoded_s
    if not canvas.is_sized:
        raise MediaError("video", "no frame could be decoded")
