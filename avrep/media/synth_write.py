"""Frames and samples into files with real codecs, whole or not at all, the same bytes each time."""

import contextlib
import math
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Literal

import av
import numpy as np
import numpy.typing as npt
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.video.stream import VideoStream

from avrep.errors import ConfigError
from avrep.types import Audio

AudioCodec = Literal["aac", "pcm_s16le"]
Rotation = Literal[0, 90, 180, 270]

_FORMATS = {".mp4": "mp4", ".mov": "mov", ".mkv": "matroska"}
_AAC_BIT_RATE = 64_000


def write_video(
    path: Path,
    frames: Iterable[npt.NDArray[np.uint8]],
    sound: Audio,
    *,
    frame_ticks: Sequence[int],
    tick_s: Fraction,
    rate_hz: int,
    sound_start: int = 0,
    gop_frames: int = 12,
    num_b_frames: int = 2,
    audio_codec: AudioCodec = "aac",
    rotation_deg: Rotation = 0,
) -> None:
    """Write H.264 and a mono sound track to `path`, by way of a temporary name beside it.

    One encoder thread and no scene-cut detection: the same input gives the same bytes on the same
    build of PyAV, and key frames stand at exact multiples of `gop_frames`.

    Args:
        path: ends in .mp4, .mov or .mkv.
        frames: uint8[h w 3] each, as many as `frame_ticks`, of one even size, as stored.
        sound: float32[s] in [-1, 1].
        frame_ticks: start of display of each frame, ascending, in units of `tick_s`.
        tick_s: seconds in a tick.
        rate_hz: rate of the sound.
        sound_start: when the first sample is heard, in samples.
        gop_frames: frames from one key frame to the next.
        num_b_frames: most B-frames in a row.
        audio_codec: "aac", or "pcm_s16le" for .mov and .mkv.
        rotation_deg: clockwise turn that players are asked to apply to the stored frames.

    Raises:
        ConfigError: the path's ending is not known, PCM is wanted in .mp4, or an encoder is missing.
        ValueError: there is no frame, or not one tick for each.
    """
    form = _FORMATS.get(path.suffix)
    if form is None:
        raise ConfigError(f"{path.name}: a clip must end in one of {', '.join(_FORMATS)}")
    if form == "mp4" and audio_codec != "aac":
        raise ConfigError(f"{path.name}: .mp4 takes aac; for {audio_codec} end it in .mov or .mkv")
    require_encoders()
    # MP4 counts the delay of a late stream in movie ticks, by default whole milliseconds.
    movie_ticks = math.lcm(tick_s.denominator, rate_hz)
    muxing = {} if form == "matroska" else {"movie_timescale": str(movie_ticks)}
    pixels = iter(frames)
    first = next(pixels, None)
    if first is None:
        raise ValueError(f"{path.name}: a clip needs at least one frame")
    with finished(path) as part, av.open(part, "w", format=form, options=muxing) as container:
        picture = _add_picture(container, first, tick_s, gop_frames, num_b_frames, rotation_deg)
        track = container.add_stream(audio_codec, rate=rate_hz, layout="mono")
        if audio_codec == "aac":
            track.bit_rate = _AAC_BIT_RATE
        fed = 0
        for tick, pixel in zip(frame_ticks, _chain(first, pixels), strict=True):
            frame = av.VideoFrame.from_ndarray(pixel, format="rgb24")
            frame.pts, frame.time_base = tick, tick_s
            container.mux(picture.encode(frame))
            # Sound follows picture closely, so that neither is far from the other in the file.
            due = min(sound.size, max(fed, int(tick * tick_s * rate_hz) - sound_start))
            _feed(container, track, sound[fed:due], sound_start + fed)
            fed = due
        _feed(container, track, sound[fed:], sound_start + fed)
        container.mux(picture.encode(None))
        container.mux(track.encode(None))


def write_wav(path: Path, sound: Audio, *, rate_hz: int) -> None:
    """Write float32[s] in [-1, 1] as 16 bit PCM, by way of a temporary name beside `path`."""
    with finished(path) as part, av.open(part, "w", format="wav") as container:
        track = container.add_stream("pcm_s16le", rate=rate_hz, layout="mono")
        _feed(container, track, sound, 0)
        container.mux(track.encode(None))


@contextlib.contextmanager
def finished(path: Path) -> Iterator[Path]:
    """A name to write under; the file gets its own name only when the body ends well."""
    part = path.with_name(f".{path.name}.part")
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def require_encoders() -> None:
    """Raise ConfigError where this build of PyAV cannot write the corpus."""
    for name in ("libx264", "aac"):
        if name not in av.codecs_available:
            raise ConfigError(f"this PyAV has no {name} encoder; mend: install PyAV's own wheels")


def _add_picture(
    container: OutputContainer,
    first: npt.NDArray[np.uint8],
    tick_s: Fraction,
    gop_frames: int,
    num_b_frames: int,
    rotation_deg: int,
) -> VideoStream:
    options = {
        "preset": "veryfast",
        "crf": "18",
        "threads": "1",
        "g": str(gop_frames),
        "bf": str(num_b_frames),
        "sc_threshold": "0",
        # With macroblock trees and B-frames, x264's first encode in a process differs from later
        # encodes of the same frames (seen with core 165, not with its assembly switched off).
        "mbtree": "0",
    }
    stream = container.add_stream("libx264", rate=1 / tick_s, options=options)
    stream.height, stream.width = first.shape[:2]
    stream.pix_fmt = "yuv420p"
    stream.codec_context.time_base = tick_s
    if rotation_deg:
        # PyAV counts the turn against the clock.
        stream.set_display_rotation(-rotation_deg)
    return stream


def _chain(
    first: npt.NDArray[np.uint8], rest: Iterator[npt.NDArray[np.uint8]]
) -> Iterator[npt.NDArray[np.uint8]]:
    yield first
    yield from rest


def _feed(container: OutputContainer, track: AudioStream, sound: Audio, start: int) -> None:
    if sound.size == 0:
        return
    if track.codec_context.name == "aac":
        frame = av.AudioFrame.from_ndarray(
            np.ascontiguousarray(sound[None]), format="fltp", layout="mono"
        )
    else:
        samples = np.rint(np.clip(sound, -1, 1) * 32767).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(samples[None], format="s16", layout="mono")
    frame.sample_rate = track.rate
    frame.pts, frame.time_base = start, Fraction(1, track.rate)
    container.mux(track.encode(frame))
