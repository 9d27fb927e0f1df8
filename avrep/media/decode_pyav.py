"""Decode with PyAV, which brings its own FFmpeg: the default."""

from collections.abc import Sequence
from time import perf_counter
from typing import BinaryIO

import numpy as np

from avrep.media.assemble import clips, read_sounds
from avrep.media.canvas import Canvas
from avrep.media.limits import DecodeLimits
from avrep.media.media_file import MediaFile
from avrep.media.pyav_video import frames_on_display
from avrep.media.scale import FrameScaler, clockwise_deg
from avrep.types import Clip, ClipTimes, Geometry


def decode_views(
    source: bytes | BinaryIO,
    views: Sequence[ClipTimes],
    geometries: Sequence[Geometry],
    limits: DecodeLimits,
) -> tuple[Clip, ...]:
    """Decode all views of an item; see `avrep.media.decode.decode_views`."""
    with MediaFile(source, limits) as media:
        # Sound first: it may need the decoder as it is at the very start of the file.
        sounds = read_sounds(media, views, geometries)
        canvas = Canvas(views, geometries, limits)
        _paint(media, canvas)
        return clips(views, canvas.pictures(), sounds, media)


def _paint(media: MediaFile, canvas: Canvas) -> None:
    if not len(canvas.times_s):
        return
    order = np.argsort(canvas.times_s, kind="stable")
    shown_in_order = frames_on_display(media, canvas.times_s[order].tolist())
    for place, shown in zip(order.tolist(), shown_in_order, strict=True):
        began_s = perf_counter()
        frame = shown.frame
        if not canvas.is_sized:
            canvas.size(frame.width, frame.height, clockwise_deg(frame))
        canvas.fill(place, frame, FrameScaler.rgb)
        canvas.pts_s[place] = shown.pts_s
        media.clock.convert_s += perf_counter() - began_s
