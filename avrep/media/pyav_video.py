"""The frames on display at wanted times: seek to a key frame, decode what is needed, keep few."""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import NamedTuple

import av

from avrep.errors import MediaError
from avrep.media.decode_run import DecodeRun, StampedFrame
from avrep.media.frame_times import CLOSE_S
from avrep.media.media_file import FAR_TICKS, MediaFile, time_base

# A seek must spare more frames than this. Measured with groups of 8 and 16 frames, at 128 and 256
# lines, strides 2 to 8: a seek itself takes 0.02 to 0.03 ms, less than most frames do, and what it
# costs is the frames that the decoder held. From 0 to 8 makes no difference; 16 and 32 are slower.
_MIN_FRAMES_SPARED = 4
# Without an index of key frames: decode on to a time that is nearer than this, else jump to it.
_JUMP_S = 2.0
# A jump that lands late is tried again from earlier, each time twice as far back, then from the
# start of the file: 2**16 half seconds are nine hours.
_MAX_JUMPS = 16
# Their decoders hold frames back, and some frames are needed by no other: worth planning for.
_PLANNED_CODECS = frozenset({"h264", "hevc"})
# What FFmpeg lists as key frames of these are any packets that state a time.
_WITHOUT_INDEX = frozenset({"mpeg", "mpegts"})
# The index of these is by time of decoding.
_INDEX_BY_DTS = frozenset({"mov,mp4,m4a,3gp,3g2,mj2"})


class ShownFrame(NamedTuple):
    """A decoded frame and when its display starts, on the item's clock."""

    pts_s: float
    frame: av.VideoFrame


def frames_on_display(media: MediaFile, times_s: Sequence[float]) -> Iterator[ShownFrame]:
    """The frame shown at each of the ascending times; the same object while it stays on display.

    A time before the first frame gives the first frame, one past the end the last. Frames that no
    other frame needs and that are not on display at a wanted time are not decoded (they are counted
    in `media.num_spared_packets`), nor are those after the last wanted one of a stretch.

    Raises:
        MediaError: stage "video" where there is no video stream or no frame can be decoded.
    """
    if media.video is None:
        raise MediaError("video", "frames are wanted but there is no video stream")
    base_s = time_base(media.video)
    first = media.video.start_time or 0
    wanted = [
        min(max(media.ticks(time_s + CLOSE_S, base_s), first), FAR_TICKS) for time_s in times_s
    ]
    cursor = _Cursor(media, media.video, wanted)
    try:
        for number in range(len(wanted)):
            found = cursor.at(number)
            yield ShownFrame(media.seconds(found.ticks, base_s), found.frame)
    finally:
        cursor.close()


class _Cursor:
    """A place in a stream: the frame on display there and the one that will follow it."""

    def __init__(self, media: MediaFile, stream: av.VideoStream, wanted: Sequence[int]) -> None:
        self._media = media
        self._stream = stream
        self._wanted = wanted
        self._base_s = time_base(stream)
        # A bare elementary stream has no times to seek to; its frames are counted from the start.
        self._can_seek = stream.start_time is not None
        self._start_ticks = stream.start_time or 0
        rate = stream.average_rate or stream.guessed_rate or Fraction(25)
        self._frame_ticks = max(1, round(1 / (rate * self._base_s)))
        self._is_planned = stream.codec_context.name in _PLANNED_CODECS
        self._next_stretch = 0
        self._run: DecodeRun | None = None
        self._shown: StampedFrame | None = None
        self._ahead: StampedFrame | None = None
        media.only(stream)
        if media.is_fresh:
            self._begin(None)

    def at(self, number: int) -> StampedFrame:
        """The frame on display at the wanted instant of that number; to be asked for in order."""
        found = self._find(number)
        if self._run and not self._run.keeps_promise(found.ticks, self._wanted[number]):
            # The frame for which others were left out is damaged: once more, leaving out nothing.
            self._is_planned = False
            self._media.num_bad_packets = self._run.num_bad_before
            self._go_to(self._run.begun_at)
            found = self._find(number)
        return found

    def close(self) -> None:
        """Let go of the run, which holds itself through the packets that it reads."""
        if self._run is not None:
            self._run.close()
        self._run = None

    def _find(self, number: int) -> StampedFrame:
        ticks = self._wanted[number]
        if self._should_jump(ticks):
            self._go_to(max(ticks - self._index_lag_ticks(), self._start_ticks))
        self._advance(number)
        target, step = ticks, max(1, round(Fraction(1, 2) / self._base_s))
        for _ in range(_MAX_JUMPS):
            if self._shown is not None or self._run is None or self._run.begun_at is None:
                break
            # Landed behind the wanted time, or on nothing that decodes: further back.
            target, step = min(target - step, self._run.fed_ticks - 1), step * 2
            self._go_to(target)
            self._advance(number)
        if self._shown is None and (self._run is None or self._run.begun_at is not None):
            self._go_to(None)
            self._advance(number)
        found = self._shown or self._ahead
        if found is None:
            raise MediaError("video", "no frame could be decoded")
        return found

    def _advance(self, number: int) -> None:
        """Decode until the frame ahead starts after the wanted instant, or to the end."""
        if self._run is None:
            return
        ticks, last_ticks = self._wanted[number], self._end_of_stretch(number)
        while self._ahead is None or self._ahead.ticks <= ticks:
            if self._ahead is not None and (
                self._shown is None or self._ahead.ticks >= self._shown.ticks
            ):
                self._shown = self._ahead
            self._ahead = self._run.next_frame(number, last_ticks)
            if self._ahead is None:
                return

    def _end_of_stretch(self, number: int) -> int:
        """The last wanted instant, in ticks, before one that will be jumped to."""
        if number >= self._next_stretch:
            following = number + 1
            while following < len(self._wanted) and not self._pays_to_jump(
                self._wanted[following - 1], self._wanted[following]
            ):
                following += 1
            self._next_stretch = following
        return self._wanted[self._next_stretch - 1]

    def _should_jump(self, ticks: int) -> bool:
        if self._ahead is not None and self._ahead.ticks > ticks:
            return False
        if not self._can_seek:
            return False
        if self._run is None:
            return True
        if self._run.stopped_after is not None:
            return ticks > self._run.stopped_after
        is_lost = self._shown is None and self._ahead is None and self._run.begun_at is not None
        return is_lost or self._pays_to_jump(self._run.fed_ticks, ticks)

    def _pays_to_jump(self, from_ticks: int, ticks: int) -> bool:
        """Whether a key frame lies between, so that enough frames can be passed over."""
        if not self._can_seek:
            return False
        entries = self._stream.index_entries
        if len(entries) and self._stream.container.format.name not in _WITHOUT_INDEX:
            found = entries.search_timestamp(ticks - self._index_lag_ticks())
            least_ticks = from_ticks + _MIN_FRAMES_SPARED * self._frame_ticks
            if found >= 0 and entries[found].timestamp > least_ticks:
                return True
            if entries[-1].timestamp >= ticks:
                return False
        return (ticks - from_ticks) * self._base_s > _JUMP_S

    def _index_lag_ticks(self) -> int:
        """How much later a key frame is shown than the index says."""
        entries = self._stream.index_entries
        if not len(entries) or self._stream.container.format.name not in _INDEX_BY_DTS:
            return 0
        # An edit list may hide frames at the start, which are no part of the lag.
        most = self._stream.codec_context.reorder_depth * self._frame_ticks
        return min(max(0, self._start_ticks - entries[0].timestamp), most)

    def _go_to(self, ticks: int | None) -> None:
        """Stand at the last key frame that the container knows of by `ticks`, or at the start."""
        in_range = ticks is not None and self._can_seek and ticks >= self._start_ticks
        if in_range and self._media.seek(ticks or 0, self._stream):
            self._begin(ticks)
            return
        # Nothing may be left that holds the closed file's streams: their memory is gone.
        self.close()
        self._media.reopen()
        if self._media.video is None:
            raise MediaError("video", "the video stream is gone on opening again")
        self._stream = self._media.video
        self._media.only(self._stream)
        self._begin(None)

    def _begin(self, begun_at: int | None) -> None:
        self.close()
        self._media.is_fresh = False
        self._shown = self._ahead = None
        self._run = DecodeRun(
            self._media,
            self._stream,
            begun_at=begun_at,
            wanted=self._wanted,
            is_planned=self._is_planned,
        )
