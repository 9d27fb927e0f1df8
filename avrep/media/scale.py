"""From decoded frames to displayed RGB: resize, convert, turn."""

import av
import numpy as np
import numpy.typing as npt
from av.video.reformatter import Interpolation, VideoReformatter

from avrep.types import Geometry

# Without full chroma interpolation white comes out as 253 and colours change by twice as much.
_FILTER = Interpolation.BILINEAR | Interpolation.FULL_CHR_H_INT
# FFmpeg has vector code for full chroma interpolation into separate planes but not into packed RGB;
# planes first and packing them after takes 0.6 of the time (both at a short side of 128 pixels).
# The pixels are the same once more than two rows are blended into one, as they are from this factor
# on; nearer to 1 they may differ by one level.
_PLANES_FROM_FACTOR = 1.1


class FrameScaler:
    """Brings the frames of one item into one size.

    Resize and colour conversion are one pass of FFmpeg's swscale at the size asked for, with its
    bilinear filter, which widens with the factor when shrinking and so does not alias. The matrix
    and range are those that the frame states; what it does not state is taken as BT.601 limited,
    as swscale takes it. High dynamic range is not tone-mapped. Pixels are taken as square.
    The turn comes last, on the small picture.
    """

    def __init__(self, geometry: Geometry, width_px: int, height_px: int, turn_deg: int) -> None:
        """Take frames of the given stored size that a player turns clockwise by `turn_deg`."""
        self.turn_deg = turn_deg
        is_sideways = turn_deg in (90, 270)
        shown = (height_px, width_px) if is_sideways else (width_px, height_px)
        self.width_px, self.height_px = geometry.size_px(*shown)
        self._stored_px = (
            (self.height_px, self.width_px) if is_sideways else (self.width_px, self.height_px)
        )
        self._reformatter = VideoReformatter()
        self._packer = VideoReformatter()

    def rgb(self, frame: av.VideoFrame) -> npt.NDArray[np.uint8]:
        """The frame as displayed, uint8[height_px, width_px, 3]; a view, to be copied from."""
        width_px, height_px = self._stored_px
        is_rgb = frame.format.is_rgb
        by_planes = not is_rgb and frame.height >= _PLANES_FROM_FACTOR * height_px
        scaled = self._reformatter.reformat(
            frame,
            width_px,
            height_px,
            "gbrp" if by_planes else "rgb24",
            interpolation=_FILTER,
            threads=1,
        )
        if by_planes:
            scaled = self._packer.reformat(scaled, format="rgb24", threads=1)
        rgb = np.asarray(scaled.to_ndarray(), np.uint8)
        return np.rot90(rgb, -self.turn_deg // 90) if self.turn_deg else rgb

    def resized(self, rgb: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """A displayed frame, uint8[h w 3], in the size asked for, by the same filter.

        Channel by channel, as grey: swscale would take RGB through YUV and lose levels.
        """
        if rgb.shape[:2] == (self.height_px, self.width_px):
            return rgb
        planes = [
            self._reformatter.reformat(
                av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb[..., channel]), format="gray"),
                self.width_px,
                self.height_px,
                interpolation=_FILTER,
                threads=1,
            ).to_ndarray()
            for channel in range(3)
        ]
        return np.stack(planes, axis=-1, dtype=np.uint8)


def clockwise_deg(frame: av.VideoFrame) -> int:
    """The turn that the frame's display matrix asks of a player: 0, 90, 180 or 270."""
    return -90 * round(frame.rotation / 90) % 360
