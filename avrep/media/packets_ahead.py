"""The next packets of a video stream, read a little before they are decoded, and what they tell."""

from bisect import bisect_right, insort
from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

import av

from avrep.media.frame_times import PacketStamp, stamp_of

# H.264 and HEVC let at most 16 pictures come before one that is shown before them (H.264, A.3.1;
# HEVC, A.4.2), and each may be two packets. So when this many packets in a row start after an
# instant, nothing that follows them can start at or before it.
_MAX_REORDER = 32
# Enough to know when a frame's display ends: its successor comes at most a few packets later.
_GLANCE = 8
_MAX_STARTS = 4096
# The containers that write down when each packet is decoded. Elsewhere FFmpeg reckons it from a
# delay that it may take for too short.
_STATES_DTS = frozenset({"mov,mp4,m4a,3gp,3g2,mj2"})


class Coming(NamedTuple):
    """A packet and its stamp."""

    packet: av.Packet
    stamp: PacketStamp


class PacketsAhead:
    """A queue in front of a decoder that knows the starts of display of all packets read so far.

    Hidden packets (an edit list's) are decoded but not shown, so their starts do not count.

    Args:
        packets: of the stream, from a key frame or the start of the file.
        stream: where they come from.
    """

    def __init__(self, packets: Iterator[av.Packet], stream: av.VideoStream) -> None:
        self._packets = packets
        self._stream = stream
        self._states_dts = stream.container.format.name in _STATES_DTS
        self._waiting: deque[Coming] = deque()
        self._taken: deque[int] = deque(maxlen=_MAX_REORDER)
        self._starts: list[int] = []
        self._num_read = 0
        self.first_start: int | None = None
        """The earliest start among the packets taken."""
        self.has_all_times = True
        """Each packet read so far states when it is shown."""

    def take(self) -> Coming | None:
        """The next packet in the order of decoding."""
        if not self._waiting and not self._read():
            return None
        coming = self._waiting.popleft()
        if not coming.stamp.is_hidden:
            ticks = coming.stamp.ticks
            self._taken.append(ticks)
            if self.first_start is None or ticks < self.first_start:
                self.first_start = ticks
        return coming

    def display_end(self, ticks: int) -> int | None:
        """A tick by which the display of the frame that starts at `ticks` has ended, if one is known."""
        while len(self._waiting) < _GLANCE and self._read():
            pass
        place = bisect_right(self._starts, ticks)
        return self._starts[place] if place < len(self._starts) else None

    def last_start_by(self, ticks: int) -> int | None:
        """The start of the frame on display at `ticks`, by the packets read so far."""
        place = bisect_right(self._starts, ticks)
        return self._starts[place - 1] if place else None

    def num_overtaken_by(self, ticks: int) -> int:
        """How many of the packets taken are shown after the frame that starts at `ticks`."""
        return sum(taken > ticks for taken in self._taken)

    def may_start_by(self, ticks: int) -> bool:
        """Whether a packet not yet taken can start at or before `ticks`."""
        for number in range(_MAX_REORDER + 1):
            if number == len(self._waiting) and not self._read():
                return False
            packet, stamp = self._waiting[number]
            if stamp.ticks <= ticks and not stamp.is_hidden:
                return True
            if self._states_dts and packet.dts is not None and packet.dts > ticks:
                return False
        return False

    def _read(self) -> bool:
        packet = next(self._packets, None)
        if packet is None:
            return False
        stamp = stamp_of(packet, self._num_read, self._stream)
        self._num_read += 1
        self.has_all_times &= packet.pts is not None
        self._waiting.append(Coming(packet, stamp))
        if not stamp.is_hidden:
            insort(self._starts, stamp.ticks)
            # Old ones are of no more use.
            if len(self._starts) > _MAX_STARTS:
                del self._starts[: _MAX_STARTS // 2]
        return True
