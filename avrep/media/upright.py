"""From decoded frames to what is stored for training: upright, smaller, even, 8 bit 4:2:0."""

import av
import numpy as np
import numpy.typing as npt
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter

from avrep.media.scale import clockwise_deg


class Upright:
    """Brings the frames of one item into one size and form, whatever way up they are stored.

    The filter is that of `avrep.media.scale.FrameScaler`, so the stored picture is the one that
    `decode` would give of the source at that size, before colour conversion. The colour matrix
    stays the source's (RGB takes BT.601), the range becomes limited. High dynamic range is not
    tone-mapped. Turning 4:2:0 moves colour by a quarter of a chroma sample, which is let be.

    Args:
        frame: the item's first frame.
        short_side_px: shorter side wanted, even; None: as it is. Nothing is enlarged; an odd side
            loses its last pixel to scaling.
    """

    def __init__(self, frame: av.VideoFrame, short_side_px: int | None) -> None:
        self._quarter_turns = clockwise_deg(frame) // 90
        self._stored_px = _even_size(frame.width, frame.height, short_side_px)
        width_px, height_px = self._stored_px
        self.size_px = (height_px, width_px) if self._quarter_turns % 2 else self._stored_px
        """Width and height that come out."""
        self.colorspace: int = Colorspace.ITU601 if frame.format.is_rgb else frame.colorspace
        """The matrix that comes out, an ITU-T H.273 number; 2 is "not stated"."""
        self._reformatter = VideoReformatter()

    def planes(self, frame: av.VideoFrame) -> npt.NDArray[np.uint8]:
        """The frame's three planes one below the other, uint8[height * 3 / 2, width]."""
        width_px, height_px = self._stored_px
        small = self._reformatter.reformat(
            frame,
            width_px,
            height_px,
            "yuv420p",
            dst_colorspace=Colorspace.ITU601 if frame.format.is_rgb else None,
            dst_color_range=ColorRange.MPEG,
            interpolation=Interpolation.BILINEAR,
            threads=1,
        )
        stored = np.asarray(small.to_ndarray(), np.uint8)
        return _turned(stored, height_px, width_px, self._quarter_turns)


def _even_size(width_px: int, height_px: int, short_side_px: int | None) -> tuple[int, int]:
    short_px = min(width_px, height_px)
    if short_side_px is None or short_px <= short_side_px:
        return max(2, width_px // 2 * 2), max(2, height_px // 2 * 2)
    scale = short_side_px / short_px
    return 2 * round(width_px * scale / 2), 2 * round(height_px * scale / 2)


def _turned(
    stored: npt.NDArray[np.uint8], height_px: int, width_px: int, quarter_turns: int
) -> npt.NDArray[np.uint8]:
    """The planes turned clockwise."""
    if quarter_turns == 0:
        return stored
    flat = stored.ravel()
    luma, chroma = height_px * width_px, height_px * width_px // 4
    planes = (
        flat[:luma].reshape(height_px, width_px),
        flat[luma : luma + chroma].reshape(height_px // 2, width_px // 2),
        flat[luma + chroma :].reshape(height_px // 2, width_px // 2),
    )
    turned = np.concatenate([np.rot90(plane, -quarter_turns).ravel() for plane in planes])
    return turned.reshape(-1, height_px if quarter_turns % 2 else width_px)
