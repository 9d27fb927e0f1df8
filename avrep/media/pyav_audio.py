"""Sound for wanted intervals, sample by sample on the item's clock."""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from time import perf_counter

import av
import numpy as np
import numpy.typing as npt
from av.error import FFmpegError

from avrep import units
from avrep.errors import MediaError
from avrep.media.media_file import MediaFile, reason_of, time_base

# Containers in which a seek leads to the exact sample: by their index, or since their stamps count
# samples. Elsewhere (Matroska counts in milliseconds, program streams have no index) sound is
# decoded from the start, at some 2000 times real time.
_EXACT_SEEK = frozenset({"mov,mp4,m4a,3gp,3g2,mj2", "wav", "w64", "flac", "mp3", "ogg"})
# Beyond this, decoding from the start costs more than a seek is inexact: half a container tick.
_MAX_REPLAY_S = 600.0
# Decoded ahead of an interval: overlapping transforms, the MP3 bit reservoir, Opus convergence.
_PREROLL_S = 1.0
# A time stamp this near to where the sound has got to is the container's rounding, not a gap.
_JITTER_S = Fraction(5, 1000)
# FFmpeg's stamps of Vorbis run ahead by part of a block where long and short blocks meet (up to
# 21 ms at 44.1 kHz on real files) and are right again a packet later.
_VORBIS_JITTER_S = Fraction(50, 1000)
# Half the taps of FFmpeg's resampling filter, in samples of the lower rate, with room to spare.
_FILTER_REACH = 32

# No sound overshoots full scale by more.
_LOUDEST = 1e3
# FFmpeg keeps the pointers to further planes elsewhere, where PyAV 18 does not look: reading the
# array of such a frame ends the process.
_MAX_PLANES = 8

_PLAIN_FLOATS = ("flt", "fltp")
_FULL_SCALE = {"u8": 2.0**7, "s16": 2.0**15, "s32": 2.0**31, "s64": 2.0**63}


@dataclass(slots=True, kw_only=True)
class _Window:
    """A stretch of the source's samples, by their number on the item's clock; silent until filled."""

    start: int
    samples: npt.NDArray[np.float32]

    @property
    def end(self) -> int:
        return self.start + len(self.samples)


def read_sound(
    media: MediaFile,
    intervals_s: Sequence[tuple[float, float]],
    rates_hz: Sequence[int | None],
) -> list[tuple[npt.NDArray[np.float32], int]]:
    """Decode and resample the sound of each interval.

    Sample k of the clock is the instant k / rate_hz. Channels are averaged with equal weights and
    then clipped to [-1, 1]. Where the stream has no sound (before its start, after its end, in a
    gap, at a damaged packet) there are zeros. Resampling is FFmpeg's swresample.

    Args:
        media: freshly opened.
        intervals_s: half-open, in seconds, any order.
        rates_hz: wanted rate of each interval; None: the stream's own.

    Returns:
        Of each interval, float32[units.num_samples(start, end, rate)] and the rate in Hz.

    Raises:
        MediaError: stage "audio" where there is no sound stream or nothing of it can be decoded.
    """
    stream = media.audio
    if stream is None:
        raise MediaError("audio", "sound is wanted but there is no sound stream")
    source_hz = stream.codec_context.sample_rate
    if source_hz <= 0:
        raise MediaError("audio", "the sound stream states no rate")
    outs_hz = [rate_hz or source_hz for rate_hz in rates_hz]
    spans = [
        _source_span(start, end, source_hz, out_hz)
        for (start, end), out_hz in zip(intervals_s, outs_hz, strict=True)
    ]
    num_bytes = 4 * sum(end - start for start, end in spans)
    if num_bytes > media.limits.max_output_bytes:
        raise MediaError("limits", f"{num_bytes} bytes of sound wanted at once")
    windows = [_Window(start=a, samples=np.zeros(b - a, np.float32)) for a, b in spans]
    media.only(stream)
    _fill(media, stream, sorted(windows, key=lambda window: window.start), source_hz)
    began_s = perf_counter()
    resampled = [
        (_resampled(window, interval_s, source_hz, out_hz), out_hz)
        for window, interval_s, out_hz in zip(windows, intervals_s, outs_hz, strict=True)
    ]
    media.clock.convert_s += perf_counter() - began_s
    return resampled


def _source_span(start_s: float, end_s: float, source_hz: int, out_hz: int) -> tuple[int, int]:
    """The source samples that an interval needs, beginning where both rates have a sample."""
    first, last = units.sample_at(start_s, out_hz), units.sample_at(end_s, out_hz)
    if source_hz == out_hz:
        return first, max(first, last)
    step = source_hz // math.gcd(source_hz, out_hz)
    out_step = out_hz // math.gcd(source_hz, out_hz)
    reach = math.ceil(_FILTER_REACH * max(1.0, source_hz / out_hz) / step)
    return (first // out_step - reach) * step, (-(-last // out_step) + reach) * step


def _resampled(
    window: _Window, interval_s: tuple[float, float], source_hz: int, out_hz: int
) -> npt.NDArray[np.float32]:
    # One sample that is no number would spread through the resampling.
    samples = np.clip(np.nan_to_num(window.samples, copy=False), -_LOUDEST, _LOUDEST)
    if source_hz != out_hz:
        samples = _resample(samples, source_hz, out_hz)
        first = window.start * out_hz // source_hz
        start = units.sample_at(interval_s[0], out_hz) - first
        samples = samples[start : start + units.num_samples(*interval_s, out_hz)]
    return np.clip(samples, -1.0, 1.0)


def _resample(
    samples: npt.NDArray[np.float32], source_hz: int, out_hz: int
) -> npt.NDArray[np.float32]:
    frame = av.AudioFrame.from_ndarray(samples[None], format="fltp", layout="mono")
    frame.sample_rate = source_hz
    frame.time_base = Fraction(1, source_hz)
    frame.pts = 0
    resampler = av.AudioResampler(format="fltp", layout="mono", rate=out_hz)
    try:
        pieces = [*resampler.resample(frame), *resampler.resample(None)]
    except MemoryError:
        raise
    except (FFmpegError, ValueError) as error:
        raise MediaError("audio", f"{source_hz} Hz to {out_hz} Hz: {reason_of(error)}") from None
    return np.concatenate([piece.to_ndarray()[0] for piece in pieces])


def _fill(
    media: MediaFile, stream: av.AudioStream, windows: Sequence[_Window], source_hz: int
) -> None:
    """Write the decoded sound into ascending windows."""
    with closing(_Sound(media, stream, source_hz)) as decoded:
        for number, window in enumerate(windows):
            decoded.go_to(window.start)
            while decoded.position < window.end:
                piece = next(decoded.pieces, None)
                if piece is None:
                    break
                start, frame = piece
                met = [
                    w for w in windows[number:] if w.start < start + frame.samples and start < w.end
                ]
                samples = decoded.mono(frame) if met else None
                if samples is not None:
                    for later in met:
                        _copy_overlap(later, start, samples)
    if windows and not decoded.num_frames and media.num_bad_packets:
        raise MediaError("audio", "no sample could be decoded")


def _copy_overlap(window: _Window, start: int, samples: npt.NDArray[np.float32]) -> None:
    first, last = max(start, window.start), min(start + len(samples), window.end)
    if first < last:
        window.samples[first - window.start : last - window.start] = samples[
            first - start : last - start
        ]


class _Sound:
    """A sound stream being decoded: pieces of mono samples with their numbers on the clock."""

    def __init__(self, media: MediaFile, stream: av.AudioStream, source_hz: int) -> None:
        self._media = media
        self._stream = stream
        self._source_hz = source_hz
        tick_samples = time_base(stream) * source_hz
        origin_samples = media.origin_s * source_hz
        # Whole numbers: exact fractions would cost as much as decoding.
        self._parts = tick_samples.denominator * origin_samples.denominator
        self._tick_parts = tick_samples.numerator * origin_samples.denominator
        self._origin_parts = origin_samples.numerator * tick_samples.denominator
        is_vorbis = stream.codec_context.codec.canonical_name == "vorbis"
        jitter_s = _VORBIS_JITTER_S if is_vorbis else _JITTER_S
        self._jitter = math.floor(max(jitter_s * source_hz, tick_samples * 3 / 2, 1))
        self.num_frames = 0
        self._expected: int | None = None
        """Where the last frame ended, if nothing was lost behind it."""
        self.position = self._number_of(stream.start_time or 0)
        self.pieces: Iterator[tuple[int, av.AudioFrame]] = self._decode()
        media.is_fresh = False

    def close(self) -> None:
        """Let go of the packets, through which this holds itself and the file."""
        self.pieces = iter(())

    def go_to(self, number: int) -> None:
        """Seek where that is exact, or far enough to be worth it; else just decode on."""
        far_s = (number - self.position) / self._source_hz
        is_exact = self._stream.container.format.name in _EXACT_SEEK
        if far_s < (3 * _PREROLL_S if is_exact else _MAX_REPLAY_S):
            return
        target = number - round(_PREROLL_S * self._source_hz)
        ticks = math.floor(
            (Fraction(target, self._source_hz) + self._media.origin_s) / time_base(self._stream)
        )
        if not self._media.seek(ticks, self._stream):
            return
        self.pieces = self._decode()
        lead = self._lead(number)
        if lead and lead[0][0] > number:
            self._restart()
        elif lead:
            self.position = lead[0][0]
            self.pieces = chain(lead, self.pieces)

    def _lead(self, number: int) -> list[tuple[int, av.AudioFrame]]:
        """The pieces that a seek has led to, up to the wanted sample.

        The first may be one of Vorbis' wrong stamps, and the others were counted on from it: most
        stamps agree on how far all of them are to be moved.
        """
        lead: list[tuple[int, av.AudioFrame]] = []
        for start, frame in self.pieces:
            lead.append((start, frame))
            if start + frame.samples > number:
                break
        stamped = [
            self._number_of(frame.pts) - start for start, frame in lead if frame.pts is not None
        ]
        ahead = Counter(stamped).most_common(1)[0][0] if stamped else 0
        if self._expected is not None:
            self._expected += ahead
        return [(start + ahead, frame) for start, frame in lead]

    def _restart(self) -> None:
        """Decode from the start after all: the seek has landed behind the wanted sample."""
        self.close()
        self._media.reopen()
        if self._media.audio is None:
            raise MediaError("audio", "the sound stream is gone on opening again")
        self._stream = self._media.audio
        self._media.only(self._stream)
        self._media.is_fresh = False
        self.position = self._number_of(self._stream.start_time or 0)
        self.pieces = self._decode()

    def _number_of(self, ticks: int) -> int:
        """The sample nearest to a time stamp, the even one of two."""
        whole, rest = divmod(ticks * self._tick_parts - self._origin_parts, self._parts)
        return whole + (2 * rest + whole % 2 > self._parts)

    def _decode(self) -> Iterator[tuple[int, av.AudioFrame]]:
        self._expected = None
        for packet in self._media.packets(self._stream):
            num_bad_before = self._media.num_bad_packets
            frames = self._media.decode_audio(packet)
            if self._media.num_bad_packets > num_bad_before:
                self._expected = None
            yield from self._placed(frames)
        yield from self._placed(self._media.drain(self._stream))

    def mono(self, frame: av.AudioFrame) -> npt.NDArray[np.float32] | None:
        """A frame's samples; None, and counted as damaged, where they cannot be had."""
        began_s = perf_counter()
        try:
            return _mono(frame)
        except MemoryError:
            raise
        except FFmpegError:
            self._media.num_bad_packets += 1
            return None
        finally:
            self._media.clock.convert_s += perf_counter() - began_s

    def _placed(self, frames: Sequence[av.AudioFrame]) -> Iterator[tuple[int, av.AudioFrame]]:
        """Frames and the number of each one's first sample: where the last ended, but for a gap."""
        for frame in frames:
            if frame.sample_rate != self._source_hz:
                self._media.num_bad_packets += 1
                continue
            self.num_frames += 1
            expected = self._expected
            start = self.position if expected is None else expected
            if frame.pts is not None:
                stamped = self._number_of(frame.pts)
                if expected is None or abs(stamped - expected) > self._jitter:
                    start = stamped
            self._expected = self.position = start + frame.samples
            yield start, frame


def _mono(frame: av.AudioFrame) -> npt.NDArray[np.float32]:
    """The mean of a frame's channels, full scale at 1.

    Raises:
        FFmpegError: the channels cannot be interleaved.
    """
    channels = frame.layout.nb_channels
    if channels == 1 and frame.format.name in _PLAIN_FLOATS:
        # PyAV makes an array by stacking planes, even of one.
        return np.frombuffer(bytes(frame.planes[0]), np.float32, frame.samples)
    if frame.format.is_planar and channels > _MAX_PLANES:
        frame = av.AudioResampler(format=frame.format.packed).resample(frame)[0]
    samples = frame.to_ndarray()
    if not frame.format.is_planar:
        samples = samples.reshape(-1, channels).T
    kind = frame.format.packed.name
    # Floats may hold anything; what is no number is made silence when the interval is whole.
    with np.errstate(invalid="ignore", over="ignore"):
        mono = (
            samples.mean(axis=0, dtype=np.float64)
            if channels > 1
            else samples[0].astype(np.float64)
        )
        if kind == "u8":
            mono -= _FULL_SCALE["u8"]
        return (mono / _FULL_SCALE.get(kind, 1.0)).astype(np.float32)
