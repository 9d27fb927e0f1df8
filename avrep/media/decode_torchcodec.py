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
        ConfigError: torchcodec is not installed, or finds no FFmpeg that it works with.
    """
    return decode_by_number(source, views, geometry, limits, _TorchcodecFrames)


class _TorchcodecFrames:
    """Frames of a file by number, as displayed."""

    def __init__(self, source: bytes | BinaryIO, stream_index: int) -> None:
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
                stream_index=stream_index,
                dimension_order="NHWC",
                num_ffmpeg_threads=1,
                device="cpu",
                seek_mode="exact",
            )
        except (RuntimeError, ValueError) as error:
            raise MediaError("video", f"torchcodec: {str(error).splitlines()[0]}") from None

    def __len__(self) -> int:
        return len(self._decoder)

    def rgb(self, numbers: Sequence[int]) -> npt.NDArray[np.uint8]:
        try:
            return self._decoder.get_frames_at(list(numbers)).data.numpy()
        except (RuntimeError, ValueError, IndexError) as error:
            raise MediaError("video", f"torchcodec: {str(error).splitlines()[0]}") from None


def _all_of(file: BinaryIO) -> bytes:
    file.seek(0)
    return file.read()
