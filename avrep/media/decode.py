"""`decode`: wanted times in, a clip out, by whichever decoder."""

from collections.abc import Callable, Sequence
from typing import BinaryIO, Literal

import numpy as np
from av.error import FFmpegError

from avrep.errors import AvrepError, MediaError
from avrep.media import decode_decord, decode_pyav
from avrep.media.limits import DecodeLimits
from avrep.media.media_file import reason_of
from avrep.types import Clip, ClipTimes, Geometry

DecoderName = Literal["pyav", "decord", "torchcodec"]
_Decoder = Callable[
    [bytes | BinaryIO, Sequence[ClipTimes], Sequence[Geometry], DecodeLimits], tuple[Clip, ...]
]


def decode(
    source: bytes | BinaryIO,
    times: ClipTimes,
    geometry: Geometry,
    *,
    decoder: DecoderName = "pyav",
    limits: DecodeLimits | None = None,
) -> Clip:
    """Decode one clip; `decode_views` says how."""
    return decode_views(source, [times], geometry, decoder=decoder, limits=limits)[0]


def decode_views(
    source: bytes | BinaryIO,
    views: Sequence[ClipTimes],
    geometry: Geometry | Sequence[Geometry],
    *,
    decoder: DecoderName = "pyav",
    limits: DecodeLimits | None = None,
) -> tuple[Clip, ...]:
    """Decode all views of an item in one pass: each frame is decoded once, and converted once for each
    size that is wanted of it.

    A frame is chosen by its time of display: at a wanted time, the frame with the latest start at
    or before it; before the first frame the first, past the end the last. Rotation is applied.
    Sound is mono (the mean of the channels), sample k / rate_hz seconds on the same clock as the
    frames, zero wherever the stream has none. Damaged packets are passed over and counted for the
    whole pass in each clip's `num_bad_packets`, as is the time that it took in `spent`.

    Args:
        source: the item's bytes, or a seekable binary file of them.
        views: the wanted times, in seconds from the item's start; frames in any order and with
            repeats. A view without frame times gives a clip without video.
        geometry: the wanted size and sample rate, for all views or for each.
        decoder: "pyav" is the default, and decodes the sound for all of them. "decord" may end the
            process with a segmentation fault on damaged media, or hang: give it a process of its
            own. "torchcodec" needs the extra `avrep[torchcodec]` and FFmpeg on the system. These
            two refuse a damaged item where PyAV saves what can be saved, and give the same frames
            otherwise (pixels may differ by the rounding of another FFmpeg build, and by
            converting the colour before they resize).
        limits: what is refused; the defaults of `DecodeLimits` when None.

    Raises:
        MediaError: stage "open" (no media), "video" or "audio" (that stream is wanted but missing,
            or nothing of it can be decoded), "limits", or "decode" (a codec library failed in a way
            that nobody foresaw). Errors of the storage behind `source` pass through.
        ConfigError: the decoder is not installed, or does not run on this machine.
        ValueError: a wanted time is not finite, or an interval of sound ends before it starts.
    """
    limits = limits or DecodeLimits()
    geometries = [geometry] * len(views) if isinstance(geometry, Geometry) else geometry
    for view in views:
        _require_finite(view)
    try:
        return _decoder_called(decoder)(source, views, geometries, limits)
    except AvrepError:
        raise
    except MemoryError:
        raise MediaError(
            "limits",
            f"over the memory limit (max_memory_bytes is {limits.max_memory_bytes})",
        ) from None
    except OSError as error:
        # FFmpeg's errors have a class of their own; what else cannot be read is the storage's.
        if isinstance(error, FFmpegError):
            raise MediaError("decode", _named(error)) from error
        raise
    except Exception as error:
        raise MediaError("decode", _named(error)) from error


def _decoder_called(name: DecoderName) -> _Decoder:
    if name == "decord":
        return decode_decord.decode_views
    if name == "torchcodec":
        # The one module of the decode side that imports torch, and so only when it is chosen.
        from avrep.media import decode_torchcodec

        return decode_torchcodec.decode_views
    return decode_pyav.decode_views


def _require_finite(times: ClipTimes) -> None:
    start_s, end_s = times.audio_s or (0.0, 0.0)
    if not (np.isfinite(times.frames_s).all() and np.isfinite([start_s, end_s]).all()):
        raise ValueError(f"wanted times must be finite: {times}")
    if end_s < start_s:
        raise ValueError(f"the interval of sound ends before it starts: {times.audio_s}")


def _named(error: Exception) -> str:
    return f"{type(error).__name__}: {reason_of(error)}"
