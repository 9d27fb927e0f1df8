"""What every decoder ends with: sound for the views that want it, frames cut by view, clips."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from avrep import units
from avrep.errors import MediaError
from avrep.media.limits import DecodeLimits
from avrep.media.media_file import MediaFile
from avrep.media.pyav_audio import read_sound
from avrep.media.scale import FrameScaler
from avrep.types import Clip, ClipTimes, Geometry

Pictures = list[tuple[npt.NDArray[np.uint8] | None, npt.NDArray[np.float64]]]


def read_sounds(
    media: MediaFile, views: Sequence[ClipTimes], geometry: Geometry
) -> tuple[list[npt.NDArray[np.float32] | None], int]:
    """The sound of each view that wants any, and its rate (0 where none does)."""
    wanted = [view.audio_s for view in views if view.audio_s is not None]
    if not wanted:
        return [None] * len(views), 0
    found, rate_hz = read_sound(media, wanted, geometry.rate_hz)
    left = iter(found)
    return [None if view.audio_s is None else next(left) for view in views], rate_hz


def require_room(num_frames: int, scaler: FrameScaler, limits: DecodeLimits) -> None:
    """Refuse more frames than the limits allow, before there is memory for them."""
    num_bytes = num_frames * scaler.height_px * scaler.width_px * 3
    if num_bytes > limits.max_output_bytes:
        raise MediaError(
            "limits", f"{num_bytes} bytes of frames wanted, over {limits.max_output_bytes}"
        )


def by_view(
    frames: npt.NDArray[np.uint8], pts_s: npt.NDArray[np.float64], views: Sequence[ClipTimes]
) -> Pictures:
    """Cut frames that lie one view after the other; a view that wants none gets no video."""
    ends = np.cumsum([len(view.frames_s) for view in views], dtype=np.int64)
    return [
        (
            frames[end - len(v.frames_s) : end] if len(v.frames_s) else None,
            pts_s[end - len(v.frames_s) : end],
        )
        for v, end in zip(views, ends, strict=True)
    ]


def clips(
    views: Sequence[ClipTimes],
    pictures: Pictures,
    sounds: Sequence[npt.NDArray[np.float32] | None],
    rate_hz: int,
    media: MediaFile,
) -> tuple[Clip, ...]:
    """Put sight and sound of each view together, with what `media` counted on the way."""
    spent = media.clock.times()
    return tuple(
        Clip(
            video=video,
            pts_s=pts_s,
            audio=audio,
            audio_start_s=units.sample_at(view.audio_s[0], rate_hz) / rate_hz
            if view.audio_s
            else 0.0,
            first_frame_s=float(view.frames_s[0]) if len(view.frames_s) else 0.0,
            rate_hz=rate_hz if audio is not None else 0,
            num_bad_packets=media.num_bad_packets,
            spent=spent,
        )
        for view, (video, pts_s), audio in zip(views, pictures, sounds, strict=True)
    )
