"""The frames on display at wanted times: seek to a key frame, decode forward, keep few."""

import heapq
import math
from collections.abc import Generator, Iterator, Sequence
from fractions import Fraction
from typing import NamedTuple

import av

from avrep.errors import MediaError
from avrep.media.frame_times import CLOSE_S, stamp_of
from avrep.media.media_file import FAR_TICKS, MediaFile, time_base

# Without an index of key frames: decode on to a time that is nearer than this, else jump to it.
_JUMP_S = 2.0
# A jump that lands late is tried again from earlier, each time twice as far back, then from the
# start of the file: 2**16 half seconds are nine hours.
_MAX_JUMPS = 16


class ShownFrame(NamedTuple):
    """A decoded frame and when its display starts, on the item's clock."""

    pts_s: float
    frame: av.VideoFrame


class _Stamped(NamedTuple):
    ticks: int
    frame: av.VideoFrame


def frames_on_display(media: MediaFile, times_s: Sequence[float]) -> Iterator[ShownFrame]:
    """The frame shown at each of the ascending times; the same object while it stays on display.

    A time before the first frame gives the first frame, one past the end the last.

    Raises:
        MediaError: stage "video" where there is no video stream or no frame can be decoded.
    """
    if media.video is None:
        raise MediaError("video", "frames are wanted but there is no video stream")
    cursor = _Cursor(media, media.video)
    for time_s in times_s:
        ticks = math.floor((Fraction(time_s + CLOSE_S) + media.origin_s) / cursor.base_s)
        found = cursor.at(ticks)
        yield ShownFrame(media.seconds(found.ticks, cursor.base_s), found.frame)


class _Cursor:
    """A place in a stream: the frame on display there and the one that will follow it."""

    def __init__(self, media: MediaFile, stream: av.VideoStream) -> None:
        self._media = media
        self._stream = stream
        self.base_s = time_base(stream)
        # A bare elementary stream has no times to seek to; its frames are counted from the start.
        self._can_seek = stream.start_time is not None
        self._start_ticks = stream.start_time or 0
        self._decoded: Generator[_Stamped] | None = None
        self._shown: _Stamped | None = None
        self._ahead: _Stamped | None = None
        self._fed_ticks = self._start_ticks
        self._from_start = False
        media.only(stream)
        if media.is_fresh:
            self._begin(from_start=True)

    def at(self, ticks: int) -> _Stamped:
        ticks = min(max(ticks, self._start_ticks), FAR_TICKS)
        if self._should_jump(ticks):
            self._jump(ticks)
        self._advance(ticks)
        target, step = ticks, max(1, round(Fraction(1, 2) / self.base_s))
        for _ in range(_MAX_JUMPS):
            if self._shown is not None or self._from_start:
                break
            # Landed behind the wanted time, or on nothing that decodes: further back.
            target, step = min(target - step, self._fed_ticks - 1), step * 2
            self._jump(target)
            self._advance(ticks)
        if self._shown is None and not self._from_start:
            self._restart()
            self._advance(ticks)
        found = self._shown or self._ahead
        if found is None:
            raise MediaError("video", "no frame could be decoded")
        return found

    def _advance(self, ticks: int) -> None:
        """Decode until the frame ahead starts after `ticks`, or to the end."""
        while self._ahead is None or self._ahead.ticks <= ticks:
            if self._ahead is not None and (
                self._shown is None or self._ahead.ticks >= self._shown.ticks
            ):
                self._shown = self._ahead
            self._ahead = next(self._decoded, None) if self._decoded else None
            if self._ahead is None:
                return

    def _should_jump(self, ticks: int) -> bool:
        """Whether a key frame lies between here and the wanted time, so that frames can be spared."""
        if self._ahead is not None and self._ahead.ticks > ticks:
            return False
        if not self._can_seek:
            return False
        if self._shown is None and self._ahead is None and not self._from_start:
            return True
        entries = self._stream.index_entries
        if len(entries):
            found = entries.search_timestamp(ticks)
            if found >= 0 and entries[found].timestamp > self._fed_ticks:
                return True
            if entries[-1].timestamp >= ticks:
                return False
        return (ticks - self._fed_ticks) * self.base_s > _JUMP_S

    def _jump(self, ticks: int) -> None:
        """Go to the last key frame that the container knows of at or before `ticks`."""
        in_range = self._can_seek and ticks >= self._start_ticks
        if in_range and self._media.seek(ticks, self._stream):
            self._begin(from_start=False)
        else:
            self._restart()

    def _restart(self) -> None:
        # Nothing may be left that holds the closed file's streams: their memory is gone.
        if self._decoded is not None:
            self._decoded.close()
        self._media.reopen()
        if self._media.video is None:
            raise MediaError("video", "the video stream is gone on opening again")
        self._stream = self._media.video
        self._media.only(self._stream)
        self._begin(from_start=True)

    def _begin(self, *, from_start: bool) -> None:
        self._media.is_fresh = False
        self._from_start = from_start
        self._fed_ticks = self._start_ticks
        self._shown = self._ahead = None
        self._decoded = self._decode(from_start=from_start)

    def _decode(self, *, from_start: bool) -> Generator[_Stamped]:
        """Frames from here on, in the order of display.

        After a seek, frames that are shown before the first key frame refer to what was not
        decoded; FFmpeg's decoders hold them back.
        """
        media, stream = self._media, self._stream
        clock = _Clock(stream)
        has_begun = from_start
        for number, packet in enumerate(media.packets(stream)):
            stamp = stamp_of(packet, number, stream)
            self._fed_ticks = packet.dts if packet.dts is not None else stamp.ticks
            has_begun = has_begun or packet.is_keyframe
            if not has_begun:
                continue
            clock.fed(stamp.ticks)
            for frame in media.decode_video(packet):
                yield _Stamped(clock.ticks(frame), frame)
        for frame in media.drain(stream):
            yield _Stamped(clock.ticks(frame), frame)


class _Clock:
    """When a decoded frame is shown.

    A decoder gives frames in the order of display and hands each its packet's time stamp. AVI has
    no place for the time of display: with reordered H.264 frames its stamps are those of decoding,
    and a bare elementary stream has none at all. There, the packets' stamps, sorted, are the times.
    """

    def __init__(self, stream: av.VideoStream) -> None:
        is_avi = stream.container.format.name == "avi"
        reorders = stream.codec_context.name in {"h264", "hevc"}
        self._sorted = (is_avi and reorders) or stream.start_time is None
        self._pending: list[int] = []
        self._last_ticks = stream.start_time or 0

    def fed(self, ticks: int) -> None:
        if self._sorted:
            heapq.heappush(self._pending, ticks)

    def ticks(self, frame: av.VideoFrame) -> int:
        if self._sorted and self._pending:
            ticks = heapq.heappop(self._pending)
        else:
            ticks = next((t for t in (frame.pts, frame.dts) if t is not None), self._last_ticks + 1)
        self._last_ticks = ticks
        return ticks
