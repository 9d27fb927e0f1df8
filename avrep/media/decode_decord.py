"""Decode the picture with decord 0.6, a decoder to choose.

decord finds frames by their number, so the numbers come from the packets' times as PyAV reads them;
its own table leaves out a late start, has single precision, and is nonsense for program streams.
It carries an FFmpeg of 2021 that can crash or hang on damaged media: run it in its own process.
"""

import io
from collections.abc import Sequence
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from avrep.errors import ConfigError, MediaError
from avrep.media.by_number import decode_by_number
from avrep.media.limits import DecodeLimits
from avrep.types import Clip, ClipTimes, Geometry


def decode_views(
    source: bytes | BinaryIO,
    views: Sequence[ClipTimes],
    geometry: Geometry,
    limits: DecodeLimits,
) -> tuple[Clip, ...]:
    """Decode all views of an item; see `avrep.media.decode.decode_views`.

    Raises:
        ConfigError: decord is not installed.
    """
    return decode_by_number(source, views, geometry, limits, _DecordFrames)


class _DecordFrames:
    """Frames of a file by number, as displayed."""

    def __init__(self, source: bytes | BinaryIO, stream_index: int) -> None:
        # decord has FFmpeg choose the stream; another choice shows in the number of frames.
        del stream_index
        try:
            import decord
        except ImportError as error:
            raise ConfigError(
                f"decoder 'decord' is not installed ({error}); mend: pip install decord "
                "(Linux x86-64 and Windows only), or decoder: pyav"
            ) from None
        self._error = decord.DECORDError
        file = io.BytesIO(source) if isinstance(source, bytes) else source
        file.seek(0)
        try:
            self._reader = decord.VideoReader(file, ctx=decord.cpu(0), num_threads=1)
        except (self._error, RuntimeError) as error:
            raise MediaError("video", f"decord: {_first_line(error)}") from None

    def __len__(self) -> int:
        return len(self._reader)

    def rgb(self, numbers: Sequence[int]) -> npt.NDArray[np.uint8]:
        try:
            return self._reader.get_batch(list(numbers)).asnumpy()
        except (self._error, RuntimeError) as error:
            raise MediaError("video", f"decord: {_first_line(error)}") from None


def _first_line(error: Exception) -> str:
    """The message of decord without the stack that it prints beneath."""
    return str(error).splitlines()[0].rpartition(": ")[2] if str(error) else type(error).__name__
