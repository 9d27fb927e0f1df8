"""An opened container: its chosen streams, their common clock, and the bounds on reading it."""

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, suppress
from fractions import Fraction
from functools import cache
from time import perf_counter
from types import TracebackType
from typing import BinaryIO, Self, cast, overload

import av
import av.codec
import av.container
import av.stream
from av.codec.codec import UnknownCodecError
from av.error import FFmpegError

from avrep.errors import MediaError
from avrep.media.bounded_reader import BoundedReader
from avrep.media.limits import DecodeLimits
from avrep.media.stage_clock import StageClock

# Still pictures that containers dress up as video: album art, thumbnails, posters.
_PICTURES = (
    av.stream.Disposition.attached_pic
    | av.stream.Disposition.timed_thumbnails
    | av.stream.Disposition.still_image
)
# PCM in a WAV file may be DTS or AC-3 in disguise. FFmpeg looks at up to 2,500 packets to make sure
# that it is not (3 ms a file, more than decoding a short one); a disguised stream shows in the first
# 16 kB. Packets of that size instead of some 2 kB make reading four times faster.
_WAV_OPTIONS = {"max_probe_packets": "1", "max_size": "16384"}
_WAV_MAGIC = (b"RIFF", b"RF64", b"BW64")
# FFmpeg decodes a frame on opening to learn what these headers say all about: 10 ms of a 720p clip,
# longer than two seconds of its sound take. Not of H.264 in Matroska, which states no time of
# decoding: FFmpeg reckons it from the delay that it finds out so.
_TOLD_BY_MP4 = frozenset({"h264", "hevc", "vp9"})
_TOLD_BY_MATROSKA = frozenset({"vp9"})
_MATROSKA_MAGIC = b"\x1a\x45\xdf\xa3"
# A demuxer that fails this often in a row has lost the thread; what was read until then counts.
_MAX_FAILURES_IN_A_ROW = 32
# Ticks beyond any recording, and within what FFmpeg can reckon with.
FAR_TICKS = 2**52


class MediaFile:
    """An open file with the streams that avrep uses, and the count of packets that were damaged.

    The clock's zero, `origin_s`, is the earliest start among the chosen streams, as the container
    states it, in the container's own time; `seconds` brings a time stamp onto the item's clock.

    Args:
        source: the file's bytes, or a seekable binary file.
        limits: what is refused.

    Raises:
        MediaError: stage "open" for what is no media or has no usable stream, "limits" for what
            is over a limit. Errors of `source` itself pass through: they are the storage's.
    """

    container: av.container.InputContainer
    video: av.VideoStream | None
    audio: av.AudioStream | None
    is_fresh: bool
    """Nothing was read since the file was opened."""

    def __init__(self, source: bytes | BinaryIO, limits: DecodeLimits) -> None:
        self.limits = limits
        self.num_bad_packets = 0
        self.num_spared_packets = 0
        """Packets that were read but that nobody needed to have decoded."""
        self.is_fresh = True
        self._num_packets = 0
        self.clock = StageClock()
        self._reader = BoundedReader(source, self.clock)
        self._open()
        self._refuse_what_is_over_limits()
        self.origin_s: Fraction = min(
            (
                stream.start_time * stream.time_base
                for stream in (self.video, self.audio)
                if stream and stream.time_base and stream.start_time is not None
            ),
            default=Fraction(0),
        )

    def reopen(self) -> None:
        """Start again at the first byte: the one way back to the beginning that never fails.

        The streams are new ones: to touch the old ones, or their packets, reads freed memory.
        """
        self.container.close()
        self._open()
        self.is_fresh = True

    def seconds(self, ticks: int, base_s: Fraction) -> float:
        """The instant of a time stamp, in ticks of `base_s`, on the item's clock."""
        zero = self.origin_s
        over = base_s.denominator * zero.denominator
        # One division of whole numbers, correctly rounded; exact fractions would cost ten times more.
        return (
            ticks * base_s.numerator * zero.denominator - zero.numerator * base_s.denominator
        ) / over

    def ticks(self, time_s: float, base_s: Fraction) -> int:
        """The time stamp, in whole ticks rounded down, of an instant on the item's clock."""
        numerator, denominator = time_s.as_integer_ratio()
        zero = self.origin_s
        over = denominator * zero.denominator * base_s.numerator
        return (
            (numerator * zero.denominator + zero.numerator * denominator) * base_s.denominator
        ) // over

    def only(self, *wanted: av.stream.Stream) -> None:
        """Have the demuxer pass over all other streams."""
        for stream in self.container.streams:
            stream.discard = (
                av.stream.Discard.default if stream in wanted else av.stream.Discard.all
            )

    def packets(self, *streams: av.stream.Stream) -> Iterator[av.Packet]:
        """Packets with content from where the file stands; damage in the container is passed over.

        Raises:
            MediaError: stage "limits" after `limits.max_packets` in the life of this object.
        """
        num_failures = 0
        while num_failures < _MAX_FAILURES_IN_A_ROW:
            try:
                # Not closed, PyAV's generator would leave a packet's memory behind.
                demux = cast("Generator[av.Packet]", self.container.demux(streams))
                with closing(demux) as read:
                    while (packet := self._next_of(read)) is not None:
                        num_failures = 0
                        # To a decoder an empty packet means "drain"; it would refuse the rest.
                        if packet.size:
                            self._count_packet()
                            yield packet
                return
            except MemoryError:
                raise
            except FFmpegError:
                num_failures += 1
                self.num_bad_packets += 1

    def seek(self, ticks: int, stream: av.VideoStream | av.AudioStream) -> bool:
        """Go to a key frame at or before a stream's time, if the container can; it may land elsewhere."""
        began_s = perf_counter()
        try:
            self.container.seek(max(-FAR_TICKS, min(ticks, FAR_TICKS)), stream=stream)
        except MemoryError:
            raise
        except FFmpegError:
            return False
        finally:
            self.clock.container_s += perf_counter() - began_s
        return True

    def decode_video(self, packet: av.Packet) -> list[av.VideoFrame]:
        """The frames that a packet completes; a damaged packet is counted and gives none."""
        return [frame for frame in self._decoded(packet) if isinstance(frame, av.VideoFrame)]

    def decode_audio(self, packet: av.Packet) -> list[av.AudioFrame]:
        """The same for sound."""
        return [frame for frame in self._decoded(packet) if isinstance(frame, av.AudioFrame)]

    @overload
    def drain(self, stream: av.VideoStream) -> list[av.VideoFrame]: ...
    @overload
    def drain(self, stream: av.AudioStream) -> list[av.AudioFrame]: ...
    def drain(
        self, stream: av.VideoStream | av.AudioStream
    ) -> list[av.VideoFrame] | list[av.AudioFrame]:
        """The frames that a decoder still holds when the packets are at an end."""
        began_s = perf_counter()
        try:
            return stream.decode(None)
        except MemoryError:
            raise
        except (FFmpegError, ValueError):
            return []
        finally:
            self.clock.decode_s += perf_counter() - began_s

    def close(self) -> None:
        self.container.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _count_packet(self) -> None:
        self._num_packets += 1
        if self._num_packets > self.limits.max_packets:
            raise MediaError("limits", f"over {self.limits.max_packets} packets")

    def _next_of(self, read: Iterator[av.Packet]) -> av.Packet | None:
        began_s = perf_counter()
        try:
            return next(read, None)
        finally:
            self.clock.container_s += perf_counter() - began_s

    def _decoded(self, packet: av.Packet) -> Sequence[object]:
        began_s = perf_counter()
        try:
            return packet.decode()
        except MemoryError:
            raise
        except (FFmpegError, ValueError):
            self.num_bad_packets += 1
            return ()
        finally:
            self.clock.decode_s += perf_counter() - began_s

    def _open(self) -> None:
        began_s = perf_counter()
        self._reader.seek(0)
        head = self._reader.read(12)
        self._reader.seek(0)
        try:
            self.container = av.open(
                self._reader,
                mode="r",
                metadata_errors="replace",
                # Playlists and reference movies would read other files of this machine, or the
                # network: no protocol is open to them.
                container_options={
                    "protocol_whitelist": "none",
                    "max_streams": str(self.limits.max_streams),
                    **_options_for(head),
                },
                # FFmpeg decodes up to twenty frames to guess a delay that our decoder finds out by
                # itself; key frames suffice for the rest (75 ms became 18 on a 720p phone clip).
                options={"max_pixels": str(self.limits.max_pixels), "skip_frame": "nokey"},
            )
        except MemoryError:
            # FFmpeg says so of a file with more streams than it may have, too.
            raise MediaError(
                "limits", f"over {self.limits.max_streams} streams, or over the memory limit"
            ) from None
        except (FFmpegError, ValueError) as error:
            raise MediaError("open", reason_of(error)) from None
        finally:
            self.clock.container_s += perf_counter() - began_s
        self.video = _choose_video(self.container)
        self.audio = _choose_audio(self.container)
        if self.video is None and self.audio is None:
            raise MediaError("open", "no video or sound that can be decoded")
        for stream in (self.video, self.audio):
            if stream is not None:
                # Many decoders run side by side, one a core: threads inside one would compete.
                stream.codec_context.thread_count = 1
                stream.codec_context.options = {"max_pixels": str(self.limits.max_pixels)}

    def _refuse_what_is_over_limits(self) -> None:
        num_streams = len(self.container.streams)
        if num_streams > self.limits.max_streams:
            raise MediaError("limits", f"{num_streams} streams, over {self.limits.max_streams}")
        if self.video is not None:
            width_px, height_px = self.video.codec_context.width, self.video.codec_context.height
            if width_px * height_px > self.limits.max_pixels:
                raise MediaError(
                    "limits",
                    f"frames of {width_px} x {height_px}, over {self.limits.max_pixels} pixels",
                )
        duration_s = (self.container.duration or 0) / av.time_base
        if duration_s > self.limits.max_duration_s:
            raise MediaError(
                "limits", f"lasts {duration_s:.0f} s, over {self.limits.max_duration_s:.0f} s"
            )


def _options_for(head: bytes) -> dict[str, str]:
    """What spares FFmpeg work on opening a file that begins so."""
    if head[:4] in _WAV_MAGIC and head[8:] == b"WAVE":
        return _WAV_OPTIONS
    if head[4:8] == b"ftyp":
        return {"codec_whitelist": _all_decoders_but(_TOLD_BY_MP4)}
    if head[:4] == _MATROSKA_MAGIC:
        return {"codec_whitelist": _all_decoders_but(_TOLD_BY_MATROSKA)}
    return {}


@cache
def _all_decoders_but(codecs: frozenset[str]) -> str:
    """The decoders that FFmpeg may use on opening; it does not ask which ones avrep uses later."""
    names: set[str] = set()
    for name in av.codec.codecs_available:
        with suppress(UnknownCodecError):
            codec = av.codec.Codec(name, "r")
            if codec.canonical_name not in codecs:
                names.add(codec.name)
    return ",".join(sorted(names))


def time_base(stream: av.VideoStream | av.AudioStream) -> Fraction:
    """Seconds per tick of a stream's time stamps."""
    if not stream.time_base:
        raise MediaError("open", f"the {stream.type} stream has no time base")
    return stream.time_base


def reason_of(error: Exception) -> str:
    """One line that says what went wrong, without addresses or logs."""
    text = error.strerror if isinstance(error, FFmpegError) else str(error)
    return " ".join(str(text).split()) or type(error).__name__


def _choose_video(container: av.container.InputContainer) -> av.VideoStream | None:
    """FFmpeg's best video stream, or the largest one where that is a mere picture."""
    real = [
        stream
        for stream in container.streams.video
        if not stream.disposition & _PICTURES and stream.codec_context is not None
    ]
    best = container.streams.best("video")
    if best in real:
        return container.streams.video[container.streams.video.index(best)]
    return max(real, key=lambda s: s.codec_context.width * s.codec_context.height, default=None)


def _choose_audio(container: av.container.InputContainer) -> av.AudioStream | None:
    real = [stream for stream in container.streams.audio if stream.codec_context is not None]
    best = container.streams.best("audio")
    return next((stream for stream in real if stream is best), real[0] if real else None)
