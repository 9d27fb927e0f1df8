"""Decode the picture with decord 0.6, a decoder to choose.

decord finds frames by their number, so the numbers come from the packets' times as PyAV reads them;
its own table leaves out a late start, has single precision, and is nonsense for program streams.
It carries an FFmpeg of 2021 that can crash or hang on damaged media: run it in its own process.
"""

import io
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from avrep.errors import ConfigError, MediaError
from avrep.media.by_number import decode_by_number
from avrep.media.frame_times import FrameTimes
from avrep.media.limits import DecodeLimits
from avrep.media.media_file import MediaFile
from avrep.types import Clip, ClipTimes, Geometry

# In program streams it drops the first group of pictures, and it has no times in transport streams.
_EXACT_CONTAINERS = frozenset({"mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "avi"})


def decode_views(
    source: bytes | BinaryIO,
    views: Sequence[ClipTimes],
    geometries: Sequence[Geometry],
    limits: DecodeLimits,
) -> tuple[Clip, ...]:
    """Decode all views of an item; see `avrep.media.decode.decode_views`.

    Raises:
        ConfigError: decord is not installed.
    """
    return decode_by_number(source, views, geometries, limits, _DecordFrames)


class _DecordFrames:
    """Frames of a file by number, as displayed."""

    def __init__(self, source: bytes | BinaryIO, media: MediaFile, table: FrameTimes) -> None:
        _refuse_what_decord_gets_wrong(media, table)
        try:
            import decord
        except ImportError as error:
            raise ConfigError(
                f"decoder 'decord' is not installed ({error}); mend: pip install decord "
                "(Linux x86-64 and Windows only), or decoder: pyav"
            ) from None
        self._error = decord.DECORDError
        try:
            with _readable(source) as file:
                self._reader = decord.VideoReader(file, ctx=decord.cpu(0), num_threads=1)
        except (self._error, RuntimeError) as error:
            raise MediaError("video", f"decord: {_first_line(error)}") from None
        num_frames = len(self._reader)
        if num_frames != len(table.pts_s):
            raise MediaError(
                "video", f"decord counts {num_frames} frames, the container {len(table.pts_s)}"
            )

    def rgb(self, numbers: Sequence[int]) -> npt.NDArray[np.uint8]:
        try:
            return self._reader.get_batch(list(numbers)).asnumpy()
        except (self._error, RuntimeError) as error:
            raise MediaError("video", f"decord: {_first_line(error)}") from None


@contextmanager
def _readable(source: bytes | BinaryIO) -> Iterator[str | BinaryIO]:
    """What decord may open: on Linux the path of a file in memory.

    Of bytes that it is given, it reads past the end wherever a damaged table points there: other
    memory of this process, or a segmentation fault. A file is read by FFmpeg, which stops.
    """
    file = io.BytesIO(source) if isinstance(source, bytes) else source
    file.seek(0)
    if not hasattr(os, "memfd_create"):
        yield file
        return
    with os.fdopen(os.memfd_create("avrep-decord"), "wb") as memory:
        shutil.copyfileobj(file, memory)
        memory.flush()
        yield f"/proc/self/fd/{memory.fileno()}"


def _refuse_what_decord_gets_wrong(media: MediaFile, table: FrameTimes) -> None:
    """Measured with decord 0.6: each of these gave other frames than those asked for."""
    container = media.container.format.name
    if container not in _EXACT_CONTAINERS:
        raise MediaError("video", f"decord misses frames in {container}; use decoder: pyav")
    if len(table.pts_s) != table.num_packets:
        raise MediaError("video", "decord miscounts behind edit lists; use decoder: pyav")
    if table.has_open_groups:
        raise MediaError("video", "decord misses frames in open groups; use decoder: pyav")
    # It makes room for as many as a table says, and where that fails, ends the process.
    claimed = media.video.frames if media.video else 0
    if claimed > media.limits.max_packets:
        raise MediaError("video", f"the container says that it has {claimed:,} frames")
    if media.video is not media.container.streams.best("video"):
        raise MediaError("video", "decord cannot choose this stream; use decoder: pyav")


def _first_line(error: Exception) -> str:
    """The message of decord without the stack that it prints beneath."""
    return str(error).splitlines()[0].rpartition(": ")[2] if str(error) else type(error).__name__
