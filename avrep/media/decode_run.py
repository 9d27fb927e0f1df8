"""Decoding straight on from one place in a video stream, leaving out what nobody will see."""

import heapq
from bisect import bisect_left
from collections import deque
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import av

from avrep.media.disposable import disposable_test
from avrep.media.media_file import MediaFile
from avrep.media.packets_ahead import Coming, PacketsAhead


class StampedFrame(NamedTuple):
    """A decoded frame and the tick at which its display starts."""

    ticks: int
    frame: av.VideoFrame


class DecodeRun:
    """Frames in the order of display, from the start of the file or from where a seek led.

    After a seek, packets before the first key frame are passed over; frames that follow it but are
    shown before it refer to what was not decoded, and FFmpeg's decoders hold them back.

    Args:
        media: where the packets come from.
        stream: the stream to decode; the file stands where the run begins.
        begun_at: the tick that was sought, None at the start of the file.
        wanted: ticks of the wanted instants, ascending.
        is_planned: leave out frames that no other needs and that are not on display at a wanted
            instant, and stop when the last wanted frame is complete.
    """

    def __init__(
        self,
        media: MediaFile,
        stream: av.VideoStream,
        *,
        begun_at: int | None,
        wanted: Sequence[int],
        is_planned: bool,
    ) -> None:
        self.begun_at = begun_at
        self.fed_ticks = stream.start_time or 0
        """Decoding time of the last packet that was read and used."""
        self.num_bad_before = media.num_bad_packets
        self.stopped_after: int | None = None
        """The decoder was emptied before the end: it has nothing for instants after this tick."""
        self._media = media
        self._stream = stream
        self._wanted = wanted
        self._clock = _Clock(stream)
        # Where stamps are sorted into times, each frame left out would shift those after it.
        self._is_planned = is_planned and not self._clock.is_sorted
        self._test = disposable_test(stream) if self._is_planned else None
        self._num_spared = 0
        self._packets = PacketsAhead(self._from_key_frame(), stream)
        self._frames: deque[StampedFrame] = deque()
        self._is_empty = False

    def next_frame(self, number: int, last_ticks: int) -> StampedFrame | None:
        """The next frame, or None at the end.

        Args:
            number: of the wanted instant that is sought now; earlier ones are done with.
            last_ticks: the last instant that is wanted of this run.
        """
        while not self._frames:
            if self._is_empty:
                return None
            if self._is_complete(last_ticks):
                self.stopped_after = last_ticks
                self._drain()
                continue
            coming = self._packets.take()
            if coming is None:
                self._drain()
            elif self._is_needless(coming, number):
                self._num_spared += 1
                self._media.num_spared_packets += 1
            else:
                self._feed(coming)
        return self._frames.popleft()

    def keeps_promise(self, shown_ticks: int, wanted_ticks: int) -> bool:
        """Whether the frame found is the one that the packets announce, where any were left out."""
        if not self._num_spared and self.stopped_after is None:
            return True
        return self._packets.last_start_by(wanted_ticks) in (None, shown_ticks)

    def close(self) -> None:
        """Let go of all packets, which must not outlive the file."""
        self._packets = PacketsAhead(iter(()), self._stream)
        self._frames.clear()
        self._is_empty = True

    def _is_complete(self, ticks: int) -> bool:
        """Whether the decoder has all that it needs for the frame on display at `ticks`."""
        packets = self._packets
        if not self._is_planned or packets.first_start is None or packets.first_start > ticks:
            return False
        return not packets.may_start_by(ticks) and packets.has_all_times

    def _is_needless(self, coming: Coming, number: int) -> bool:
        packet, stamp = coming
        if self._test is None or not self._test(packet):
            return False
        packets, ticks = self._packets, stamp.ticks
        if stamp.is_keyframe or stamp.is_hidden or packet.is_corrupt or not packets.has_all_times:
            return False
        # The first frame of all is also what is shown at times before it.
        if packets.first_start is None or ticks <= packets.first_start:
            return False
        # A decoder that has yet to learn how long frames must be held back learns it from these.
        if self._stream.codec_context.reorder_depth < packets.num_overtaken_by(ticks):
            return False
        end = packets.display_end(ticks)
        if end is None:
            return False
        following = bisect_left(self._wanted, ticks, lo=number)
        return following == len(self._wanted) or self._wanted[following] >= end

    def _feed(self, coming: Coming) -> None:
        packet, stamp = coming
        self.fed_ticks = packet.dts if packet.dts is not None else stamp.ticks
        self._clock.fed(stamp.ticks)
        for frame in self._media.decode_video(packet):
            self._frames.append(StampedFrame(self._clock.ticks(frame), frame))

    def _drain(self) -> None:
        self._is_empty = True
        for frame in self._media.drain(self._stream):
            self._frames.append(StampedFrame(self._clock.ticks(frame), frame))

    def _from_key_frame(self) -> Iterator[av.Packet]:
        has_begun = self.begun_at is None
        for packet in self._media.packets(self._stream):
            has_begun = has_begun or packet.is_keyframe
            if has_begun:
                yield packet
            elif packet.dts is not None:
                self.fed_ticks = packet.dts


class _Clock:
    """When a decoded frame is shown.

    A decoder gives frames in the order of display and hands each its packet's time stamp. AVI has
    no place for the time of display: with reordered H.264 frames its stamps are those of decoding,
    and a bare elementary stream has none at all. There, the packets' stamps, sorted, are the times.
    """

    def __init__(self, stream: av.VideoStream) -> None:
        is_avi = stream.container.format.name == "avi"
        reorders = stream.codec_context.name in {"h264", "hevc"}
        self.is_sorted = (is_avi and reorders) or stream.start_time is None
        self._pending: list[int] = []
        self._last_ticks = stream.start_time or 0

    def fed(self, ticks: int) -> None:
        if self.is_sorted:
            heapq.heappush(self._pending, ticks)

    def ticks(self, frame: av.VideoFrame) -> int:
        if self.is_sorted and self._pending:
            ticks = heapq.heappop(self._pending)
        else:
            ticks = next((t for t in (frame.pts, frame.dts) if t is not None), self._last_ticks + 1)
        self._last_ticks = ticks
        return ticks
