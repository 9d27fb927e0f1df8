"""Where the frames of all views of an item go: each frame is converted once for each size."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from avrep.errors import MediaError
from avrep.media.limits import DecodeLimits
from avrep.media.scale import FrameScaler
from avrep.types import ClipTimes, Geometry

Pictures = list[tuple[npt.NDArray[np.uint8] | None, npt.NDArray[np.float64]]]
"""Of each view, its frames (None where it wants none) and when each is shown."""

_Frame = TypeVar("_Frame")


class Canvas:
    """The frames of views in the making. A place is a frame's number, counted over all views.

    Args:
        views: the wanted times.
        geometries: the wanted size of each view.
        limits: what is refused.
    """

    def __init__(
        self, views: Sequence[ClipTimes], geometries: Sequence[Geometry], limits: DecodeLimits
    ) -> None:
        self.times_s = np.concatenate([np.zeros(0), *(view.frames_s for view in views)])
        """Of each place."""
        self.pts_s = np.zeros(len(self.times_s))
        """Of each place, when the frame that it got is shown; to be filled in."""
        self._sizes = [len(view.frames_s) for view in views]
        self._geometries = geometries
        self._limits = limits
        self._frames: list[npt.NDArray[np.uint8]] = []
        self._places: list[tuple[FrameScaler, npt.NDArray[np.uint8]]] = []
        self._last: object = None
        self._made: dict[FrameScaler, npt.NDArray[np.uint8]] = {}

    @property
    def is_sized(self) -> bool:
        return bool(self._frames)

    def size(self, width_px: int, height_px: int, turn_deg: int) -> None:
        """Make room for frames of the given stored size that a player turns by `turn_deg`.

        Raises:
            MediaError: stage "limits": there are more of them than the limits allow.
        """
        scalers = {
            geometry: FrameScaler(geometry, width_px, height_px, turn_deg)
            for geometry in dict.fromkeys(self._geometries)
        }
        chosen = [scalers[geometry] for geometry in self._geometries]
        shapes = [
            (size, scaler.height_px, scaler.width_px, 3)
            for size, scaler in zip(self._sizes, chosen, strict=True)
        ]
        num_bytes = sum(int(np.prod(shape)) for shape in shapes)
        if num_bytes > self._limits.max_output_bytes:
            most = self._limits.max_output_bytes
            raise MediaError("limits", f"{num_bytes} bytes of frames wanted, over {most}")
        self._frames = [np.empty(shape, np.uint8) for shape in shapes]
        self._places = [
            (scaler, frame)
            for scaler, frames in zip(chosen, self._frames, strict=True)
            for frame in frames
        ]

    def fill(
        self,
        place: int,
        frame: _Frame,
        convert: Callable[[FrameScaler, _Frame], npt.NDArray[np.uint8]],
    ) -> None:
        """Put a frame at a place; fill all places of one frame one after the other."""
        if frame is not self._last:
            self._last = frame
            self._made.clear()
        scaler, target = self._places[place]
        made = self._made.get(scaler)
        target[...] = convert(scaler, frame) if made is None else made
        self._made[scaler] = target

    def pictures(self) -> Pictures:
        """All views, when each place is filled."""
        pts_s = np.split(self.pts_s, np.cumsum(self._sizes, dtype=np.int64)[:-1])
        if not self._sizes:
            return []
        frames = self._frames or [None] * len(self._sizes)
        return [
            (taken if size else None, times_s)
            for size, taken, times_s in zip(self._sizes, frames, pts_s, strict=True)
        ]
