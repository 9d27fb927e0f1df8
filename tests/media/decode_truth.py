"""What the decode tests compare with: plain full decodes, small files made on the spot."""

import io
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import av
import av.container
import av.stream
import numpy as np
import numpy.typing as npt
from av.error import FFmpegError
from av.video.reformatter import Interpolation

from avrep.media.frame_code import draw_frame_code
from avrep.types import ClipTimes, MediaItem

COVER_ART = av.stream.Disposition.attached_pic


class Slow(NamedTuple):
    """Every frame of a file's video in display order, decoded from the start without a seek."""

    pts_s: npt.NDArray[np.float64]
    frames: list[av.VideoFrame]


def item(content: bytes) -> MediaItem:
    """The row of a file of which nothing is known but its bytes."""
    return MediaItem(key="k", shard="k", offset_bytes=0, length_bytes=len(content), duration_s=0.0)


def at(*times_s: float, audio_s: tuple[float, float] | None = None) -> ClipTimes:
    return ClipTimes(frames_s=np.array(times_s, np.float64), audio_s=audio_s)


def origin_s(container: av.container.InputContainer) -> Fraction:
    """Earliest stated start among the best video stream (no cover art) and best sound stream."""
    chosen = [container.streams.best("video"), container.streams.best("audio")]
    return min(
        (
            s.start_time * s.time_base
            for s in chosen
            if s is not None
            and s.start_time is not None
            and s.time_base
            and not s.disposition & COVER_ART
        ),
        default=Fraction(0),
    )


def full_video(content: bytes) -> Slow:
    """Decode everything, packet by packet, and sort by time of display."""
    with av.open(io.BytesIO(content), mode="r") as container:
        zero = origin_s(container)
        stream = container.streams.best("video")
        assert isinstance(stream, av.VideoStream)
        stream.codec_context.thread_count = 1
        frames: list[av.VideoFrame] = []
        for packet in container.demux(stream):
            try:
                frames += packet.decode()
            except FFmpegError:
                continue
        frames.sort(key=lambda frame: frame.pts or 0)
        base = stream.time_base or Fraction(1)
        return Slow(np.array([float((f.pts or 0) * base - zero) for f in frames]), frames)


def shown(slow: Slow, time_s: float) -> int:
    """Number of the frame on display, by looking at each in turn."""
    number = 0
    for i, start_s in enumerate(slow.pts_s):
        if start_s <= time_s + 1e-6:
            number = i
    return number


def rgb(frame: av.VideoFrame, width_px: int, height_px: int) -> npt.NDArray[np.uint8]:
    """The frame as displayed, in the given displayed size."""
    quarters = round(frame.rotation / 90) % 4
    stored = (height_px, width_px) if quarters % 2 else (width_px, height_px)
    small = frame.reformat(
        *stored,
        format="rgb24",
        interpolation=Interpolation.BILINEAR | Interpolation.FULL_CHR_H_INT,
    )
    return np.rot90(np.asarray(small.to_ndarray(), np.uint8), quarters)


def full_sound(content: bytes) -> tuple[npt.NDArray[np.float64], int, int]:
    """All samples in one piece (mean of channels), the number of the first, and the rate."""
    with av.open(io.BytesIO(content), mode="r") as container:
        zero = origin_s(container)
        stream = container.streams.best("audio")
        assert isinstance(stream, av.AudioStream)
        interleaved = av.AudioResampler(format="dbl")
        pieces: list[npt.NDArray[np.float64]] = []
        first_s = None
        for frame in container.decode(stream):
            assert isinstance(frame, av.AudioFrame)
            if first_s is None:
                first_s = (frame.pts or 0) * (frame.time_base or Fraction(0)) - zero
            pieces += [
                packed.to_ndarray().reshape(-1, frame.layout.nb_channels).mean(axis=1)
                for packed in interleaved.resample(frame)
            ]
        rate_hz = stream.codec_context.sample_rate
        return np.concatenate(pieces), round((first_s or 0) * rate_hz), rate_hz


def interval(
    samples: npt.NDArray[np.float64], first: int, start: int, end: int
) -> npt.NDArray[np.float64]:
    """Samples number start to end of a sound that begins at number `first`, zero outside."""
    numbers = np.arange(start, end) - first
    inside = (numbers >= 0) & (numbers < len(samples))
    found = np.zeros(len(numbers))
    found[inside] = samples[numbers[inside]]
    return found


def write_numbered(
    path: Path,
    codec: str,
    container_format: str,
    num_frames: int = 40,
    gop_frames: int = 12,
    options: dict[str, str] | None = None,
) -> Path:
    """A clip of 25 frames a second whose frames carry their numbers; two B-frames in a row."""
    with av.open(path, "w", format=container_format) as container:
        stream = container.add_stream(codec, rate=25, options=options or {})
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 128, 96, "yuv420p"
        stream.codec_context.gop_size = gop_frames
        stream.codec_context.max_b_frames = 2
        stream.codec_context.bit_rate = 2_000_000
        stream.codec_context.thread_count = 1
        for number in range(num_frames):
            picture = draw_frame_code(np.full((96, 128, 3), 90, np.uint8), number)
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts = number
            for packet in stream.encode(frame):
                container.mux(packet)
        for packet in stream.encode(None):
            container.mux(packet)
    return path
