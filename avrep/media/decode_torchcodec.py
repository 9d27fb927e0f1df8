"""Decode the picture with torchcodec, a decoder to choose; the only module here that knows torch.

Seeking is in torchcodec's exact mode, which reads the packets once. It works with the FFmpeg that
the system has, and with nothing where there is none; that shows only when it is imported.
"""

from collections.abc import Sequence
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from avrep.errors import ConfigError, MediaError
from avrep.media.by_number import decode_by_number
from avrep.media.frame_times import FrameTimes
from avrep.media.limits import DecodeLimits
from avrep.media.media_file import MediaFile
from avrep.types import Clip, ClipTimes, Geometry

# Far above the rounding of a double, far below a frame.
_CLOSE_S = 1e-4


def decode_views(
    source: bytes | BinaryIO,
    views: Sequence[ClipTimes],
    geometries: Sequence[Geometry],
    limits: DecodeLimits,
) -> tuple[Clip, ...]:
    """Decode all views of an item; see `avrep.media.decode.decode_views`.

    Raises:
        ConfigError: torchcodec is not installed, or finds no FFmpeg that it works with.
    """
    return decode_by_number(source, views, geometries, limits, _TorchcodecFrames)


class _TorchcodecFrames:
    """Frames of a file by number, as displayed."""

    def __init__(self, source: bytes | BinaryIO, media: MediaFile, table: FrameTimes) -> None:
        self._pts_s = table.pts_s
        self._origin_s = float(media.origin_s)
        try:
            from torchcodec.decoders import VideoDecoder
        except (ImportError, RuntimeError, OSError) as error:
            raise ConfigError(
                f"decoder 'torchcodec' does not run here ({str(error).splitlines()[0]}); mend: "
                "pip install 'avrep[torchcodec]' and an FFmpeg between versions 4 and 8, "
                "or decoder: pyav"
            ) from None
        content = source if isinstance(source, bytes) else _all_of(source)
        try:
            self._decoder = VideoDecoder(
                content,
                stream_index=media.video.index if media.video else None,
                dimension_order="NHWC",
                num_ffmpeg_threads=1,
                device="cpu",
                seek_mode="exact",
            )
        except (RuntimeError, ValueError) as error:
            raise MediaError("video", f"torchcodec: {str(error).splitlines()[0]}") from None
        self._numbers = _numbers(table, len(self._decoder))

    def rgb(self, numbers: Sequence[int]) -> npt.NDArray[np.uint8]:
        try:
            found = self._decoder.get_frames_at(self._numbers[list(numbers)].tolist())
        except (RuntimeError, ValueError, IndexError) as error:
            raise MediaError("video", f"torchcodec: {str(error).splitlines()[0]}") from None
        # In program streams and behind edit lists its seek may land late, and it gives what is there.
        late_s = found.pts_seconds.numpy() - self._origin_s - self._pts_s[list(numbers)]
        if np.abs(late_s).max() > _CLOSE_S:
            raise MediaError("video", "torchcodec gave other frames; use decoder: pyav")
        return found.data.numpy()


def _numbers(table: FrameTimes, num_counted: int) -> npt.NDArray[np.int64]:
    """The library's number of each frame, whether or not it counts those that are not shown."""
    if num_counted == len(table.pts_s):
        return np.arange(num_counted, dtype=np.int64)
    if num_counted == table.num_packets:
        return table.packet_rank
    raise MediaError(
        "video", f"torchcodec counts {num_counted} frames, the container {table.num_packets}"
    )


def _all_of(file: BinaryIO) -> bytes:
    file.seek(0)
    return file.read()
