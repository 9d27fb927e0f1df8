"""Single clips as frame numbers: drawn at random, or spread evenly over a video.

Everything here counts frames; `avrep.sampling.spec` turns the counts into times.
"""

from typing import Annotated, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from avrep.frozen import FrozenConfig

FrameNumbers = Annotated[npt.NDArray[np.int64], "t"]
NONE_KNOWN: FrameNumbers = np.zeros(0, np.int64)


class ClipConfig(FrozenConfig):
    """The form of one clip, shared by every sampler."""

    num_frames: int = Field(default=16, ge=1, le=4096)
    """Frames in a clip."""
    stride: int = Field(default=2, ge=1, le=1024)
    """Distance between neighbouring frames of a clip, in frames of the video at `fps`."""
    fps: Annotated[float, Field(gt=0, le=1000)] | None = None
    """Frame rate at which frames are counted; None: the video's own."""
    snap_to_keyframe: bool = False
    """Move each clip's drawn start back to the last key frame at or before it, where the catalogue
    knows the key frames, so that decoding begins with a frame that is wanted.

    The bias: only key frames can be first, and a video with one key frame always gives its
    beginning. Measured with 16 frames at stride 2: of the frames that could be first, 4 % still can
    on phone clips with a key frame a second (GMDCSA24), 8 to 10 % with groups of 10 to 12 frames,
    1 % with x264's default groups of 250; frames decoded for a clip fall from 44 to 31, from 35 to
    31, and from 92 to 31. At stride 4 on the phone clips, from 75 to 61."""


ClipForm = Literal["looped", "held", "spread"]
"""Which frames a drawn clip has. "looped": `stride` apart, and a video that is shorter begins again,
as in CVRL and RSPNet. "held": `stride` apart, and a shorter video stays at its last frame, as in
VideoMAE's pretraining. "spread": as `dense_clips` spreads them, for encoders that are tested by those:
MAE-ST's, V-JEPA's, VideoMAE's fine-tuned."""


class UniformConfig(ClipConfig):
    """Clips of one video, each drawn at random."""

    kind: Literal["uniform"] = "uniform"
    num_clips: int = Field(default=1, ge=1, le=1000)
    """Clips drawn from each item."""
    form: ClipForm = "looped"
    one_in_each_part: bool = False
    """Of "held" and "spread": the video is cut into `num_clips` equal parts, and one clip is drawn in
    each, as V-JEPA's probe is trained; otherwise each is drawn anywhere."""

    @model_validator(mode="after")
    def _parts_do_not_loop(self) -> Self:
        if self.one_in_each_part and self.form == "looped":
            raise ValueError('one_in_each_part goes with form "held" or "spread"; set form')
        return self


class DenseConfig(ClipConfig):
    """Evenly spaced clips of one video, for evaluation; nothing is random."""

    kind: Literal["dense"] = "dense"
    num_clips: int = Field(default=10, ge=1, le=1000)
    """Clips taken from each item."""


def num_starts(num_frames_in_video: int, config: ClipConfig) -> int:
    """How many frames a clip may start at: those from which it fits, or all if it fits from none."""
    fitting = num_frames_in_video - (config.num_frames - 1) * config.stride
    return fitting if fitting > 0 else num_frames_in_video


def looped_clip(start: int, num_frames_in_video: int, config: ClipConfig) -> FrameNumbers:
    """Frame numbers of the clip from `start`; past the last frame it goes on from frame 0."""
    return (start + config.stride * np.arange(config.num_frames)) % num_frames_in_video


def held_clip(start: int, num_frames_in_video: int, config: ClipConfig) -> FrameNumbers:
    """Frame numbers of the clip from `start`; past the last frame it stays there."""
    return np.minimum(start + config.stride * np.arange(config.num_frames), num_frames_in_video - 1)


def snapped(start: int, keyframes: FrameNumbers, config: ClipConfig) -> int:
    """The last key frame at or before `start` if the config asks for one and there is one.

    Args:
        start: a drawn start.
        keyframes: numbers of the key frames, ascending; empty where they are not known.
        config: whether to snap.
    """
    if not config.snap_to_keyframe:
        return start
    place = int(np.searchsorted(keyframes, start, side="right"))
    return int(keyframes[place - 1]) if place else start


def uniform_clips(
    num_frames_in_video: int,
    config: UniformConfig,
    rng: np.random.Generator,
    keyframes: FrameNumbers = NONE_KNOWN,
) -> tuple[FrameNumbers, ...]:
    """Clips whose starts are uniform over those from which a clip fits.

    Looped, this is the training sampler of CVRL's linear evaluation (arXiv 2008.03800, released code).

    Held and spread, a clip covers S = num_frames * stride of the L frames of a video, or of a part of
    it, and starts at one of the first L - S, or at 0 where there are none: V-JEPA's rule (arXiv
    2404.08471, released code). Parts that are no longer than S overlap: clips then start as evenly as
    `dense_clips` has them. Within a clip the released code spaces its T frames by S / (T - 1), here it
    is (S - 1) / (T - 1), as in testing; of a video shorter than a clip it shows L // stride frames and
    then the last.

    Args:
        num_frames_in_video: length of the video in frames, at least 1.
        config: what to draw.
        rng: where the randomness comes from; snapping draws nothing more.
        keyframes: int64[k], numbers of the key frames, ascending; empty where they are not known.

    Returns:
        `config.num_clips` arrays, int64[t], each value in [0, num_frames_in_video).
    """
    if config.form == "looped":
        lay, starts = (
            looped_clip,
            _starts_anywhere(num_starts(num_frames_in_video, config), config, rng),
        )
    else:
        lay = held_clip if config.form == "held" else spread_clip
        starts = _starts_of_whole(num_frames_in_video, config, rng)
    return tuple(
        lay(snapped(start, keyframes, config), num_frames_in_video, config) for start in starts
    )


def _starts_anywhere(num: int, config: UniformConfig, rng: np.random.Generator) -> list[int]:
    return rng.integers(0, num, size=config.num_clips).tolist()


def _starts_of_whole(length: int, config: UniformConfig, rng: np.random.Generator) -> list[int]:
    """Starts of clips that cover `num_frames * stride` frames, anywhere or one in each part."""
    covered, num_parts = config.num_frames * config.stride, config.num_clips
    if not config.one_in_each_part:
        return _starts_anywhere(max(length - covered, 1), config, rng)
    part = length // num_parts
    if part <= covered:
        return even_starts(length, covered, num_parts)
    inside = _starts_anywhere(part - covered, config, rng)
    return [number * part + start for number, start in enumerate(inside)]


def dense_clips(
    num_frames_in_video: int, config: DenseConfig, keyframes: FrameNumbers = NONE_KNOWN
) -> tuple[FrameNumbers, ...]:
    """Evenly spaced clips: the rule of MAE-ST's released code with `use_offset` (arXiv 2205.09113).

    A clip covers S = num_frames * stride frames. With slack = max(L - S, 0), clip j of n starts at
    j * floor(slack / (n - 1)), and a single clip at floor(slack / 2). Its frames are spread from
    the first to the last of the S, rounded down, and those past the video's end become its last
    frame. So the last gap of a clip may be wider than `stride`, and a video with less slack than
    n - 1 frames gives n equal clips, as there.

    Args:
        num_frames_in_video: length L of the video in frames, at least 1.
        config: what to take.
        keyframes: int64[k], numbers of the key frames, ascending; empty where they are not known.

    Returns:
        `config.num_clips` arrays, int64[t], ascending, each value in [0, num_frames_in_video).
    """
    covered = config.num_frames * config.stride
    return tuple(
        spread_clip(snapped(start, keyframes, config), num_frames_in_video, config)
        for start in even_starts(num_frames_in_video, covered, config.num_clips)
    )


def even_starts(length: int, covered: int, num_clips: int) -> list[int]:
    """Where evenly spaced clips start in something that is `length` long, see `dense_clips`."""
    slack = max(length - covered, 0)
    if num_clips == 1:
        return [slack // 2]
    return [j * (slack // (num_clips - 1)) for j in range(num_clips)]


def spread_clip(start: int, num_frames_in_video: int, config: ClipConfig) -> FrameNumbers:
    """Frame numbers of the clip from `start`, by the rule of `dense_clips`."""
    # Whole numbers throughout: a float ramp may fall just short of a frame that it should reach.
    last = config.num_frames * config.stride - 1
    ramp = np.arange(config.num_frames) * last // max(config.num_frames - 1, 1)
    return np.minimum(start + ramp, num_frames_in_video - 1)
