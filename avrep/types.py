"""The nouns that every layer shares: frozen dataclasses over numpy, no torch, no codecs.

Axis letters, used in every shape: b batch, t frames, h w pixels, c channels, s audio samples,
n tokens, d width. Times are seconds from the start of the item (the first instant at which any
of its streams is presented), so sound and picture share one clock.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated

import numpy as np
import numpy.typing as npt

Video = Annotated[npt.NDArray[np.uint8], "t h w 3"]
VideoBatch = Annotated[npt.NDArray[np.uint8], "b t h w 3"]
Audio = Annotated[npt.NDArray[np.float32], "s"]
AudioBatch = Annotated[npt.NDArray[np.float32], "b s"]
RowNumbers = Annotated[npt.NDArray[np.int64], "n"]
"""Rows of a catalogue."""
TimesS = Annotated[npt.NDArray[np.float64], "t"]
TimesBatchS = Annotated[npt.NDArray[np.float64], "b t"]


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoStream:
    """What the catalogue knows of an item's chosen video stream."""

    width_px: int
    """Width as displayed, after rotation."""
    height_px: int
    """Height as displayed, after rotation."""
    fps: float
    """Average frame rate: frames shown divided by the time that they are shown."""
    num_frames: int
    codec: str
    rotation_deg: int = 0
    """Clockwise turn that a player applies, one of 0, 90, 180, 270; already applied to the size."""
    start_s: float = 0.0
    """When the first frame is shown."""
    keyframes_s: Annotated[npt.NDArray[np.float64], "k"] = field(
        default_factory=lambda: np.zeros(0, np.float64)
    )
    """Presentation times of the key frames, ascending; empty when not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioStream:
    """What the catalogue knows of an item's chosen audio stream."""

    rate_hz: int
    channels: int
    codec: str
    start_s: float = 0.0
    """When the first sample is heard."""
    end_s: float | None = None
    """When the last sample has been heard; None in catalogues that did not write it down."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaItem:
    """One row of a catalogue: where an item's bytes are and what was found in them."""

    key: str
    """Unique in the catalogue; the path below the source, without the extension's dot changed."""
    shard: str
    """URI of the file that holds the bytes, relative to the catalogue's data root or absolute."""
    offset_bytes: int
    length_bytes: int
    duration_s: float
    """From the item's start to the end of its longest stream."""
    video: VideoStream | None = None
    audio: AudioStream | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    crc32: int | None = None
    """CRC-32 of the item's bytes when it was indexed or packed; None where it was not taken."""


@dataclass(frozen=True, slots=True, order=True)
class Address:
    """The name of one clip draw: everything random about the clip is a function of it."""

    epoch: int
    item: int
    """Row of the catalogue."""
    draw: int = 0
    """Number within the item and epoch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipTimes:
    """Which instants of an item a clip wants."""

    frames_s: TimesS
    """Wanted display times in clip order; a looping sampler's times wrap back to the start."""
    audio_s: tuple[float, float] | None = None
    """Half-open interval of sound, or None when no sound is wanted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Geometry:
    """The form in which decoded frames and samples are wanted."""

    short_side_px: int | None = None
    """Scale so that the shorter side has this many pixels, keeping the aspect; None: as stored."""
    rate_hz: int | None = None
    """Resample sound to this rate; None: as stored."""

    def size_px(self, width_px: int, height_px: int) -> tuple[int, int]:
        """The (width, height) in pixels that a frame of the given displayed size comes out with."""
        if self.short_side_px is None:
            return width_px, height_px
        scale = self.short_side_px / min(width_px, height_px)
        return max(1, round(width_px * scale)), max(1, round(height_px * scale))


@dataclass(frozen=True, slots=True, kw_only=True)
class StageTimes:
    """Wall-clock seconds spent on the way from storage to clips, by stage."""

    storage_s: float = 0.0
    """Waiting for bytes."""
    demux_s: float = 0.0
    """Opening the container and reading its packets."""
    decode_s: float = 0.0
    """Turning packets into frames and samples."""
    convert_s: float = 0.0
    """Resizing, converting colour, resampling, copying into the clip."""

    def __add__(self, other: "StageTimes") -> "StageTimes":
        return StageTimes(
            storage_s=self.storage_s + other.storage_s,
            demux_s=self.demux_s + other.demux_s,
            decode_s=self.decode_s + other.decode_s,
            convert_s=self.convert_s + other.convert_s,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """What a decoder gave for one `ClipTimes`."""

    video: Video | None
    pts_s: TimesS
    """Start of display of each frame given; the frame shown at a wanted time starts at or before it."""
    audio: Audio | None = None
    """Mono, in [-1, 1]."""
    audio_start_s: float = 0.0
    """Time of the first sample."""
    first_frame_s: float = 0.0
    """When the first frame was wanted: it may have started up to a frame earlier (`pts_s`)."""
    rate_hz: int = 0
    num_bad_packets: int = 0
    """Damaged packets that were passed over while decoding."""
    spent: StageTimes = field(default_factory=StageTimes)
    """What the pass that gave this clip cost; the same for all clips of one pass."""

    def __post_init__(self) -> None:
        if self.video is not None:
            if self.video.ndim != 4 or self.video.shape[3] != 3 or self.video.dtype != np.uint8:
                raise ValueError(f"video must be uint8[t h w 3], got {_form(self.video)}")
            if self.pts_s.shape != self.video.shape[:1]:
                raise ValueError(f"{self.video.shape[0]} frames but {self.pts_s.shape} times")
        if self.audio is not None and (self.audio.ndim != 1 or self.audio.dtype != np.float32):
            raise ValueError(f"audio must be float32[s], got {_form(self.audio)}")

    def __repr__(self) -> str:
        return (
            f"Clip(video={_form(self.video)}, audio={_form(self.audio)}, rate_hz={self.rate_hz}, "
            f"audio_start_s={self.audio_start_s:.4f}, num_bad_packets={self.num_bad_packets})"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """A batch of clips of one kind.

    Frames smaller than the largest are padded below and right, sounds shorter than the longest are
    followed by silence.
    """

    video: VideoBatch | None
    size_px: Annotated[npt.NDArray[np.int32], "b 2"]
    """Height and width of each clip's own frames inside the padded ones."""
    pts_s: TimesBatchS
    audio: AudioBatch | None = None
    audio_start_s: Annotated[npt.NDArray[np.float64], "b"] | None = None
    num_samples: Annotated[npt.NDArray[np.int64], "b"] | None = None
    """Samples of each clip's own sound inside the padded one."""
    first_frame_s: Annotated[npt.NDArray[np.float64], "b"] | None = None
    """When each clip's first frame was wanted."""
    rate_hz: int = 0

    def __repr__(self) -> str:
        return f"View(video={_form(self.video)}, audio={_form(self.audio)}, rate_hz={self.rate_hz})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """An item that could not be used, and why: its place was taken by another."""

    address: Address
    key: str
    stage: str
    """"read", "open", "video", "audio", "limits", "decode", "deadline" or "crash"."""
    reason: str
    error: str = ""
    """Name of the error's class."""
    uri: str = ""
    """The file that holds the item's bytes."""
    offset_bytes: int = 0
    length_bytes: int = 0
    attempts: int = 1
    """How often it was tried before it was given up."""
    node: str = ""
    """Host that tried it last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """One rank's share of one step, still on the host: video stays uint8 until the device."""

    step: int
    addresses: tuple[Address, ...]
    """Where each row's clips really came from: a substitute's own address where an item failed."""
    keys: tuple[str, ...]
    views: tuple[View, ...]
    """One per clip that the sampler draws from an item; row i of each belongs to `addresses[i]`."""
    labels: tuple[Mapping[str, str], ...] = ()
    failures: tuple[Failure, ...] = ()
    num_bad_packets: int = 0
    """Damaged packets that the decoders passed over for this batch."""
    spent: StageTimes = field(default_factory=StageTimes)
    """What making this batch cost, summed over its items."""
    num_decoders: int = 0
    """Decode actors that the stream had for it; 0: decoded in the trainer itself."""
    others: Mapping[str, "Batch"] = field(default_factory=dict)
    """Of a mixture's further corpora, by name: the same step of each."""

    @property
    def num_clips(self) -> int:
        """Clips of all corpora."""
        own = len(self.addresses) * len(self.views)
        return own + sum(other.num_clips for other in self.others.values())

    @property
    def spent_in_all(self) -> StageTimes:
        """What the batches of all corpora cost."""
        return sum((other.spent_in_all for other in self.others.values()), self.spent)

    @property
    def num_decoders_in_all(self) -> int:
        """Decode actors of the streams of all corpora."""
        others = sum(other.num_decoders_in_all for other in self.others.values())
        return self.num_decoders + others


def _form(array: npt.NDArray[np.generic] | None) -> str:
    return "None" if array is None else f"{array.dtype}{list(array.shape)}"
