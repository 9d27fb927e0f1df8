"""Which frame is on display when: the one rule, and the list of an item's frame times."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Annotated, NamedTuple

import av
import numpy as np
import numpy.typing as npt

from avrep.errors import MediaError
from avrep.media.media_file import MediaFile, time_base
from avrep.types import TimesS

# A wanted time may be a frame's own start, brought to a double by another route.
CLOSE_S = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameTimes:
    """When each frame of an item's video is shown, in the order of display."""

    pts_s: TimesS
    """Starts of display, strictly ascending."""
    end_s: float
    """When the last frame's display ends."""
    keyframes_s: Annotated[npt.NDArray[np.float64], "k"]
    """Those of `pts_s` where decoding can begin."""
    packet_rank: Annotated[npt.NDArray[np.int64], "t"]
    """Place of each frame's packet among all of the stream's packets in display order; differs
    from 0, 1, 2, ... where an edit list hides frames."""
    num_packets: int
    has_open_groups: bool
    """Frames that follow a key frame in the file are shown before it: they need the group before."""


def shown_at(pts_s: TimesS, times_s: TimesS) -> npt.NDArray[np.int64]:
    """Index of the frame on display at each time: the last one that starts at or before it.

    Before the first frame it is the first, after the last it is the last.

    Args:
        pts_s: float64[n], starts of display in seconds, ascending, n > 0.
        times_s: float64[t], in seconds, any order.
    """
    found = np.searchsorted(pts_s, times_s + CLOSE_S, side="right") - 1
    return np.clip(found, 0, len(pts_s) - 1).astype(np.int64)


class PacketStamp(NamedTuple):
    """What the frame times need to know of a packet; its content is long gone."""

    ticks: int
    duration: int
    is_keyframe: bool
    is_hidden: bool
    """An edit list lets this frame be decoded, for others' sake, but not shown."""


def stamp_of(packet: av.Packet, number: int, stream: av.VideoStream) -> PacketStamp:
    """A video packet's stamp; where the container has no times, its number at the mean rate."""
    ticks = packet.pts if packet.pts is not None else packet.dts
    if ticks is None:
        rate = stream.average_rate or stream.guessed_rate or Fraction(25)
        ticks = round(number / (rate * time_base(stream)))
    return PacketStamp(ticks, packet.duration or 0, packet.is_keyframe, packet.is_discard)


def read_frame_times(media: MediaFile) -> FrameTimes:
    """List an item's frames by reading its packets once, without decoding.

    Args:
        media: freshly opened; its packets are used up.

    Raises:
        MediaError: stage "video" where there is no video stream or no packet of it.
    """
    stream = media.video
    if stream is None:
        raise MediaError("video", "no video stream")
    media.only(stream)
    stamps = [stamp_of(packet, n, stream) for n, packet in enumerate(media.packets(stream))]
    return frame_times(stamps, stream, media)


def frame_times(
    stamps: Sequence[PacketStamp], stream: av.VideoStream, media: MediaFile
) -> FrameTimes:
    """The frames that packets with these stamps show; of two with one time stamp, the first."""
    shown: dict[int, tuple[int, PacketStamp]] = {}
    for rank, stamp in enumerate(sorted(stamps, key=lambda stamp: stamp.ticks)):
        if not stamp.is_hidden:
            shown.setdefault(stamp.ticks, (rank, stamp))
    if not shown:
        raise MediaError("video", "no packet of the video stream could be read")
    ticks = list(shown)
    base_s = time_base(stream)
    gap = ticks[-1] - ticks[-2] if len(ticks) > 1 else 0
    end_ticks = ticks[-1] + max(shown[ticks[-1]][1].duration or gap, 1)
    return FrameTimes(
        pts_s=np.array([media.seconds(tick, base_s) for tick in ticks]),
        end_s=media.seconds(end_ticks, base_s),
        keyframes_s=np.array(
            [media.seconds(tick, base_s) for tick, (_, s) in shown.items() if s.is_keyframe]
        ),
        packet_rank=np.array([rank for rank, _ in shown.values()], np.int64),
        num_packets=len(stamps),
        has_open_groups=_has_open_groups(stamps),
    )


def _has_open_groups(stamps: Sequence[PacketStamp]) -> bool:
    key_ticks: int | None = None
    for stamp in stamps:
        if stamp.is_keyframe:
            key_ticks = stamp.ticks
        elif key_ticks is not None and stamp.ticks < key_ticks:
            return True
    return False
