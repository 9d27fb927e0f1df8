"""An item coded anew for training: the same pictures and sounds at the same times, at less cost.

Whatever `decode` shows of the source at an instant, it shows of the new file at that instant: the
frames come from the decoder's own rule of display, are turned upright, and keep their time stamps
on the item's clock; no frame is repeated or left out. The sound is what `decode` gives at the rate
asked for, rounded to 16 bits.
"""

import errno
import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from itertools import chain
from pathlib import Path

import av
import numpy as np
from av.error import FFmpegError

from avrep.errors import AvrepError, MediaError
from avrep.media import shards
from avrep.media.frame_times import FrameTimes, read_frame_times
from avrep.media.limits import DecodeLimits
from avrep.media.media_file import MediaFile, reason_of, time_base
from avrep.media.probe import probe
from avrep.media.pyav_audio import read_sound
from avrep.media.pyav_video import frames_on_display
from avrep.media.train_coding import Mp4Writer, TrainCoding, require_encoders, write_flac
from avrep.media.upright import Upright
from avrep.types import Audio, MediaItem

# Decoded at a time: 40 MB of samples at 16 kHz.
_SOUND_CHUNK_S = 600.0
# Handed over at a time, so that in the file sound is never far from its picture.
_SOUND_PIECE_S = 1.0
_EVERYDAY_TIMESCALE = 90000
# Time scales and the display of one frame are 32 bit numbers of ticks.
_MAX_TICKS = 2**31 - 1
_STORAGE_ERRORS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EFBIG})


@dataclass(frozen=True, slots=True, kw_only=True)
class Transcoded:
    """What became of an item."""

    item: MediaItem
    """The source's row with the streams, duration and length of the new file. The time at which its
    sound is first heard is the source's: up to there the new file is silent, not empty."""
    suffix: str
    """".mp4", or ".flac" for an item with sound only."""
    num_bad_packets: int
    """Damaged packets of the source that were passed over."""
    num_lost_frames: int
    """Frames that the source lists but that cannot be decoded; the one before stays on display."""


def transcode(
    open_source: Callable[[], shards.Source],
    item: MediaItem,
    path: Path,
    coding: TrainCoding,
    limits: DecodeLimits | None = None,
) -> Transcoded:
    """Code an item for training.

    Args:
        open_source: gives the item's bytes, or a window of them to seek in, each time anew.
        item: its row.
        path: where to; overwritten.
        coding: how.
        limits: what is refused; the defaults of `DecodeLimits` when None.

    Raises:
        MediaError: the item cannot be opened or decoded; stage "encode" where it cannot be coded;
            "audio" where it has sound only and sound is to be left out.
        ShardError: its bytes cannot be fetched.
        OSError: the new file cannot be written.
        ConfigError: this build of PyAV lacks an encoder.
    """
    require_encoders()
    with ExitStack() as stack:
        sources = [_opened(open_source, stack) for _ in range(2)]
        sounds = _Sounds(sources[0], item, coding.audio_hz, limits or DecodeLimits())
        pictures = _Pictures(sources[1], coding, limits or DecodeLimits())
        try:
            if item.video is not None:
                pictures.write(path, sounds)
            elif coding.audio_hz is None:
                raise MediaError("audio", "it has sound only, and sound is to be left out")
            else:
                write_flac(path, sounds.pieces(), coding.audio_hz)
        except FFmpegError as error:
            if error.errno in _STORAGE_ERRORS:
                raise OSError(error.errno, error.strerror, str(path)) from None
            if error.errno == errno.ENOMEM:
                raise MediaError("limits", "over the memory limit of one decode") from None
            raise MediaError("encode", reason_of(error)) from None
    return Transcoded(
        item=_row(path, item, pictures),
        suffix=".mp4" if item.video is not None else ".flac",
        num_bad_packets=sounds.num_bad_packets + pictures.num_bad_packets,
        num_lost_frames=pictures.num_lost_frames,
    )


def transcode_item(item: MediaItem, root: str, path: Path, coding: TrainCoding) -> Transcoded:
    """Fetch an item and code it for training; what any of it raises is an `AvrepError` or OSError."""
    try:
        if item.length_bytes <= shards.WHOLE_READ_BYTES:
            data = shards.read(item, root)
            return transcode(lambda: data, item, path, coding)
        return transcode(partial(shards.open_window, item, root), item, path, coding)
    except (AvrepError, OSError):
        raise
    except MemoryError:
        raise MediaError("limits", "over the memory limit of one decode") from None
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise MediaError("decode", reason) from error


def _opened(open_source: Callable[[], shards.Source], stack: ExitStack) -> shards.Source:
    source = open_source()
    return source if isinstance(source, bytes) else stack.enter_context(source)


def _row(path: Path, item: MediaItem, pictures: "_Pictures") -> MediaItem:
    """The new file's row, from the file itself: what was written is read once more.

    When the item ends, and when its sound begins, stays as it was: MP4 cannot say how long the last
    frame stays where the rate varies, and the sound now begins with silence.
    """
    with path.open("rb") as file:
        found = probe(file, replace(item, length_bytes=path.stat().st_size, crc32=None))
    video, audio = found.video, found.audio
    if video is not None:
        if video.num_frames != pictures.num_frames:
            raise MediaError(
                "encode", f"{video.num_frames} of {pictures.num_frames} frames were written"
            )
        shown_s = max(pictures.end_s - video.start_s, 1e-3)
        video = replace(video, fps=video.num_frames / shown_s)
    if audio is not None and item.audio is not None:
        audio = replace(audio, start_s=item.audio.start_s)
    return replace(found, duration_s=item.duration_s, video=video, audio=audio)


class _Sounds:
    """An item's sound from time zero to its end, mono, chunk by chunk."""

    def __init__(
        self, source: shards.Source, item: MediaItem, rate_hz: int | None, limits: DecodeLimits
    ) -> None:
        self._source = source
        self._limits = limits
        self._duration_s = item.duration_s
        self.rate_hz = rate_hz if item.audio is not None else None
        self.num_bad_packets = 0

    def pieces(self) -> Iterator[Audio]:
        """Adjoining float32[s] of about a second."""
        if self.rate_hz is None:
            return
        size = round(_SOUND_PIECE_S * self.rate_hz)
        num_chunks = math.ceil(self._duration_s / _SOUND_CHUNK_S)
        for number in range(num_chunks):
            start_s = number * _SOUND_CHUNK_S
            end_s = min(start_s + _SOUND_CHUNK_S, self._duration_s)
            # Opened anew for each chunk: only a file that is freshly open gives its first sample.
            with MediaFile(self._source, self._limits) as media:
                ((sound, _),) = read_sound(media, [(start_s, end_s)], [self.rate_hz])
                self.num_bad_packets = max(self.num_bad_packets, media.num_bad_packets)
            for first in range(0, len(sound), size):
                yield sound[first : first + size]


class _Pictures:
    """An item's frames in the order of display, each once."""

    def __init__(self, source: shards.Source, coding: TrainCoding, limits: DecodeLimits) -> None:
        self._source = source
        self._coding = coding
        self._limits = limits
        self.num_bad_packets = 0
        self.num_frames = 0
        self.num_lost_frames = 0
        self.end_s = 0.0

    def write(self, path: Path, sounds: "_Sounds") -> None:
        """Write the file, the sound following closely on the picture."""
        with MediaFile(self._source, self._limits) as media:
            times = read_frame_times(media)
            timescale = _timescale(media, times)
        self.end_s = times.end_s
        with MediaFile(self._source, self._limits) as media:
            shown = _distinct_frames(media, times)
            first_s, first = next(shown)
            upright = Upright(first, self._coding.short_side_px)
            with Mp4Writer(
                path,
                size_px=upright.size_px,
                tick_s=Fraction(1, timescale),
                fps=len(times.pts_s) / (times.end_s - float(times.pts_s[0])),
                colorspace=upright.colorspace,
                coding=self._coding,
                rate_hz=sounds.rate_hz,
            ) as writer:
                # Without sound, the first frame alone can hold the clock's zero. It loses nothing:
                # it is what `decode` shows before its start in any case.
                first_s = first_s if sounds.rate_hz else 0.0
                self._write_all(
                    writer, upright, chain([(first_s, first)], shown), sounds, timescale
                )
                writer.finish(round(times.end_s * timescale))
            self.num_bad_packets = media.num_bad_packets
        self.num_lost_frames = len(times.pts_s) - self.num_frames

    def _write_all(
        self,
        writer: Mp4Writer,
        upright: Upright,
        shown: Iterator[tuple[float, av.VideoFrame]],
        sounds: "_Sounds",
        timescale: int,
    ) -> None:
        pieces = sounds.pieces()
        heard_s = 0.0
        last_ticks = -1
        for pts_s, frame in shown:
            ticks = max(0, round(pts_s * timescale))
            if ticks <= last_ticks:
                continue
            while heard_s <= pts_s and (piece := next(pieces, None)) is not None:
                writer.add_sound(piece)
                heard_s += _SOUND_PIECE_S
            writer.add_frame(upright.planes(frame), ticks)
            last_ticks = ticks
            self.num_frames += 1
        for piece in pieces:
            writer.add_sound(piece)


def _distinct_frames(media: MediaFile, times: FrameTimes) -> Iterator[tuple[float, av.VideoFrame]]:
    """Each frame that is ever on display, once, and the start of its display in seconds."""
    edges_s = np.append(times.pts_s, times.end_s)
    last: av.VideoFrame | None = None
    for found in frames_on_display(media, ((edges_s[:-1] + edges_s[1:]) / 2).tolist()):
        if found.frame is not last:
            last = found.frame
            yield found.pts_s, found.frame


def _timescale(media: MediaFile, times: FrameTimes) -> int:
    """Ticks a second that hold the item's frame times exactly, or to 6 microseconds if none can."""
    assert media.video is not None
    stored = time_base(media.video).denominator
    longest_s = float(np.diff(times.pts_s, append=times.end_s).max())
    # The item's clock may begin between two of the picture's ticks, with the sound.
    for timescale in (math.lcm(stored, media.origin_s.denominator), stored):
        if timescale * max(1.0, longest_s) <= _MAX_TICKS:
            return timescale
    return _EVERYDAY_TIMESCALE
