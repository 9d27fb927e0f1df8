"""Decode with PyAV, which brings its own FFmpeg: the default."""

from collections.abc import Sequence
from time import perf_counter
from typing import BinaryIO

import numpy as np

from avrep.media.assemble import Pictures, by_view, clips, read_sounds, require_room
from avrep.media.limits import DecodeLimits
from avrep.media.media_file import MediaFile
from avrep.media.pyav_video import frames_on_display
from avrep.media.scale import FrameScaler, clockwise_deg
from avrep.types import Clip, ClipTimes, Geometry


def decode_views(
    source: bytes | BinaryIO,
    views: Sequence[ClipTimes],
    geometry: Geometry,
    limits: DecodeLimits,
) -> tuple[Clip, ...]:
    """Decode all views of an item; see `avrep.media.decode.decode_views`."""
    with MediaFile(source, limits) as media:
        # Sound first: it may need the decoder as it is at the very start of the file.
        sounds, rate_hz = read_sounds(media, views, geometry)
        pictures = _read_pictures(media, views, geometry)
        return clips(views, pictures, sounds, rate_hz, media)


def _read_pictures(media: MediaFile, views: Sequence[ClipTimes], geometry: Geometry) -> Pictures:
    times_s = np.concatenate([view.frames_s for view in views]) if views else np.zeros(0)
    frames, pts_s = np.zeros((0, 0, 0, 3), np.uint8), np.zeros(len(times_s))
    if len(times_s):
        order = np.argsort(times_s, kind="stable")
        scaler, last = None, None
        for place, shown in zip(
            order, frames_on_display(media, times_s[order].tolist()), strict=True
        ):
            began_s = perf_counter()
            if scaler is None:
                frame = shown.frame
                scaler = FrameScaler(geometry, frame.width, frame.height, clockwise_deg(frame))
                require_room(len(times_s), scaler, media.limits)
                frames = np.empty((len(times_s), scaler.height_px, scaler.width_px, 3), np.uint8)
            frames[place] = (
                frames[last[1]]
                if last is not None and last[0] is shown.frame
                else scaler.rgb(shown.frame)
            )
            pts_s[place] = shown.pts_s
            last = shown.frame, place
            media.clock.convert_s += perf_counter() - began_s
    return by_view(frames, pts_s, views)
