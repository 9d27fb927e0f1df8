"""Files coded for training: pictures that are cheap to decode at a stride, sound to the sample.

What makes a clip of such a file cheap, beside its size:

- Groups are closed and of one fixed length, so a key frame is near every wanted time.
- Between anchor frames stand `num_b_frames` B-frames that nothing refers to (no pyramid). At a
  stride of `num_b_frames + 1` only anchors are wanted, or the anchors and the wanted B-frames;
  the others need no decoding. The pattern never varies: anchors at 0, n, 2n, ... of a group, and
  its last frame, since the next group may not be looked at.
- No CABAC, no deblocking, no weighted prediction: the three costly parts of H.264 at low rates.
"""

from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self

import av
import numpy as np
import numpy.typing as npt
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.video.reformatter import ColorRange
from av.video.stream import VideoStream
from pydantic import Field, model_validator

from avrep.errors import ConfigError
from avrep.frozen import FrozenConfig
from avrep.types import Audio

_FULL_SCALE = 2**15
_MAX_FPS = 1000


class TrainCoding(FrozenConfig):
    """How a file is coded for training. Defaults are avrep's own, measured on real clips.

    At 128 pixels and CRF 20, over phone clips, films, a time-lapse and a talking head, the luma of
    the stored picture is within 38 to 44 dB PSNR of the source scaled to that size (SSIM 0.982 to
    0.990). From clips of 340 x 256 at 225 to 700 kbit/s, picture and sound together came to 0.5 to
    0.85 of the source's bytes, of which the sound was 35 to 60 %. CRF 18 gives 1.4 dB more for a
    third more bytes of picture, CRF 23 2.1 dB less for a third fewer. x264's preset "veryfast"
    takes fewer bytes at the same PSNR here than "medium" and "slow", in a third and a tenth of the
    time.
    """

    short_side_px: int | None = Field(default=128, ge=16, multiple_of=2)
    """Shorter side of the stored picture; None: as it is. Nothing is enlarged. Take what the
    largest crop of training needs: 128 for crops of 112, 256 for crops of 224."""
    gop_frames: int = Field(default=16, ge=1, le=600)
    """Frames from one key frame to the next. Shorter: less to decode for a short clip, more bytes."""
    num_b_frames: int = Field(default=3, ge=0, le=7)
    """Frames between two anchors that nothing refers to: the stride of training less one. 3 serves
    strides of 2 and 4."""
    crf: float = Field(default=20.0, ge=0, le=40)
    """x264's constant quality; lower is better and larger, 6 steps about double the bytes."""
    audio_hz: int | None = Field(default=16000, ge=4000, le=192000)
    """Rate of the mono sound: that of the models that will hear it. None leaves the sound out,
    which takes half the bytes or more off, where only pictures are trained on."""

    @model_validator(mode="after")
    def _pattern_fits(self) -> Self:
        if self.gop_frames % (self.num_b_frames + 1):
            raise ValueError(
                f"gop_frames={self.gop_frames} must be a multiple of num_b_frames + 1 = "
                f"{self.num_b_frames + 1}, so that every group has the same pattern"
            )
        return self


class Mp4Writer:
    """Writes one item as MP4: H.264, and FLAC where there is sound, which starts at time zero.

    FLAC, because it begins and ends on the very sample and a seek finds the very sample again. AAC
    and Opus begin with samples of their own and smear what they code; Opus knows five rates only.

    Args:
        path: where to; overwritten.
        size_px: width and height, even.
        tick_s: 1 / n seconds; frame times are given in it.
        fps: mean rate, which only steers x264's rate control.
        colorspace: the matrix of the frames (ITU-T H.273 number; 2 is "not stated").
        coding: how.
        rate_hz: of the sound; None where there is none.
    """

    def __init__(
        self,
        path: Path,
        *,
        size_px: tuple[int, int],
        tick_s: Fraction,
        fps: float,
        colorspace: int,
        coding: TrainCoding,
        rate_hz: int | None,
    ) -> None:
        self._tick_s = tick_s
        self._held: av.VideoFrame | None = None
        self._durations: dict[int, int] = {}
        self._container: OutputContainer = av.open(
            path,
            "w",
            format="mp4",
            options={
                # The index comes first, so that reading the front of a range finds everything.
                "movflags": "+faststart",
                # No version of the writer inside: the same input gives the same bytes.
                "fflags": "+bitexact",
                # The delay of a first frame that comes late is counted in movie ticks.
                "movie_timescale": str(tick_s.denominator),
            },
        )
        self._picture = _add_picture(self._container, size_px, tick_s, fps, colorspace, coding)
        self._sound = _add_sound(self._container, rate_hz) if rate_hz is not None else None
        self._num_samples = 0

    def add_frame(self, planes: npt.NDArray[np.uint8], ticks: int) -> None:
        """Take the next frame.

        Args:
            planes: uint8[h * 3 / 2, w], upright, yuv420p in limited range.
            ticks: start of its display, after that of the frame before.
        """
        self._encode_held(ticks)
        self._held = av.VideoFrame.from_ndarray(planes, format="yuv420p")
        self._held.pts, self._held.time_base = ticks, self._tick_s

    def add_sound(self, sound: Audio) -> None:
        """Take the samples that follow those given before; the first one is heard at time zero."""
        if self._sound is None:
            raise ValueError("this file was opened without sound")
        self._container.mux(_coded_sound(self._sound, sound, self._num_samples))
        self._num_samples += len(sound)

    def finish(self, end_ticks: int) -> None:
        """Write what is left; the last frame's display ends at `end_ticks`."""
        self._encode_held(end_ticks)
        self._mux(self._picture.encode(None))
        if self._sound is not None:
            self._container.mux(self._sound.encode(None))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._container.close()

    def _encode_held(self, end_ticks: int) -> None:
        """Encode the last frame, now that it is known how long it is shown."""
        if self._held is not None and self._held.pts is not None:
            self._durations[self._held.pts] = end_ticks - self._held.pts
            self._mux(self._picture.encode(self._held))

    def _mux(self, packets: Iterable[av.Packet]) -> None:
        for packet in packets:
            if packet.pts is not None:
                packet.duration = self._durations.pop(packet.pts)
            self._container.mux(packet)


def write_flac(path: Path, pieces: Iterable[Audio], rate_hz: int) -> None:
    """Write an item that has sound only: mono, 16 bit."""
    require_encoders()
    options = {"fflags": "+bitexact"}
    with av.open(path, "w", format="flac", options=options) as container:
        stream = _add_sound(container, rate_hz)
        num_samples = 0
        for piece in pieces:
            container.mux(_coded_sound(stream, piece, num_samples))
            num_samples += len(piece)
        container.mux(stream.encode(None))


def require_encoders() -> None:
    """Raise ConfigError where this build of PyAV cannot code for training."""
    for name in ("libx264", "flac"):
        if name not in av.codecs_available:
            raise ConfigError(f"this PyAV has no {name} encoder; mend: install PyAV's own wheels")


def _add_picture(
    container: OutputContainer,
    size_px: tuple[int, int],
    tick_s: Fraction,
    fps: float,
    colorspace: int,
    coding: TrainCoding,
) -> VideoStream:
    rate = Fraction(min(max(fps, 1.0), _MAX_FPS)).limit_denominator(1001)
    stream = container.add_stream("libx264", rate=rate, options=_x264_options(coding))
    stream.width, stream.height = size_px
    stream.pix_fmt = "yuv420p"
    stream.codec_context.time_base = tick_s
    stream.codec_context.color_range = ColorRange.MPEG
    stream.codec_context.colorspace = colorspace
    return stream


def _x264_options(coding: TrainCoding) -> dict[str, str]:
    fixed = {
        "keyint": coding.gop_frames,
        "min-keyint": coding.gop_frames,
        "scenecut": 0,
        "open-gop": 0,
        "bframes": coding.num_b_frames,
        "b-adapt": 0,
        "b-pyramid": "none",
        "weightb": 0,
        "weightp": 0,
        "cabac": 0,
        "no-deblock": 1,
        "ref": 1,
        # With macroblock trees and B-frames, x264's first encode in a process may differ from later
        # encodes of the same frames (seen with core 165 and adaptive B-frames).
        "mbtree": 0,
    }
    return {
        "preset": "veryfast",
        "crf": str(coding.crf),
        "threads": "1",
        "x264-params": ":".join(f"{name}={value}" for name, value in fixed.items()),
    }


def _add_sound(container: OutputContainer, rate_hz: int) -> AudioStream:
    stream = container.add_stream("flac", rate=rate_hz, layout="mono")
    stream.codec_context.format = "s16"
    return stream


def _coded_sound(stream: AudioStream, sound: Audio, start: int) -> Sequence[av.Packet]:
    """Packets of float32[s] in [-1, 1] that begins with sample number `start`."""
    if len(sound) == 0:
        return ()
    samples = np.clip(np.rint(sound * _FULL_SCALE), -_FULL_SCALE, _FULL_SCALE - 1)
    frame = av.AudioFrame.from_ndarray(samples.astype(np.int16)[None], format="s16", layout="mono")
    frame.sample_rate = stream.rate
    frame.pts, frame.time_base = start, Fraction(1, stream.rate)
    return stream.encode(frame)
