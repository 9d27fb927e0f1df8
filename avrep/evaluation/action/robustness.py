"""Test clips disturbed before the encoder sees them: what is lost tells motion from scene.

A probe is fitted on clean train clips. An encoder that tells actions by the scene loses nothing to
frames in another order; one that tells them by motion does, and should lose little to a codec.
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from pydantic import Field

from avrep.errors import AvrepError, ConfigError
from avrep.evaluation.draws import Draw, generator
from avrep.frozen import FrozenConfig
from avrep.media.catalog import Catalog, write_catalog
from avrep.media.train_coding import TrainCoding
from avrep.media.transcode import transcode_item
from avrep.sampling.clips import ClipConfig
from avrep.types import Address, Failure, RowNumbers, VideoBatch

Disturbance = Literal["half_rate", "double_rate", "shuffled", "reversed", "recompressed"]
DISTURBANCES: tuple[Disturbance, ...] = get_args(Disturbance)


class RobustnessConfig(FrozenConfig):
    """How the test clips are disturbed."""

    disturbances: tuple[Disturbance, ...] = ()
    """half_rate: frames twice as far apart, as of a camera with half the rate. double_rate: half as
    far. shuffled: the clip's frames in a drawn order. reversed: from the last to the first.
    recompressed: the whole video coded once more by H.264."""
    crf: float = Field(default=36.0, ge=0, le=40)
    """x264's constant quality of `recompressed`; 36 shows blocks at every size."""


def disturbed_clip(clip: ClipConfig, disturbance: Disturbance | None) -> ClipConfig:
    """Which frames a clip has.

    Raises:
        ConfigError: `double_rate` of a clip whose frames are neighbours already.
    """
    if disturbance == "half_rate":
        return clip.model_copy(update={"stride": 2 * clip.stride})
    if disturbance != "double_rate":
        return clip
    if clip.stride % 2 == 0:
        return clip.model_copy(update={"stride": clip.stride // 2})
    if clip.fps is not None:
        return clip.model_copy(update={"fps": 2 * clip.fps})
    raise ConfigError(
        f"double_rate: frames are {clip.stride} apart at the video's own rate, and half of that is no "
        "whole number; leave it out, or measure an encoder whose stride is even"
    )


def disturbed_frames(
    video: VideoBatch,
    keys: Sequence[str],
    view: int,
    disturbance: Disturbance | None,
    seed: int,
) -> VideoBatch:
    """The frames of one clip of each of b videos, in the order that the disturbance gives them.

    The order drawn for a clip is a function of (seed, the video's key, the clip's number), so every
    encoder is shown the same.

    Args:
        video: uint8[b t h w 3].
        keys: of the b videos.
        view: number of the clip within its video.
        disturbance: which; those that are none of the frames' order change nothing here.
        seed: of the evaluation.
    """
    if disturbance == "reversed":
        return np.ascontiguousarray(video[:, ::-1])
    if disturbance != "shuffled":
        return video
    orders = [_order(key, view, video.shape[1], seed) for key in keys]
    return np.stack([frames[order] for frames, order in zip(video, orders, strict=True)])


def _order(key: str, view: int, num_frames: int, seed: int) -> np.ndarray:
    address = Address(0, zlib.crc32(key.encode()), view)
    return generator(seed, Draw.FRAME_ORDER, address).permutation(num_frames)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recompressed:
    """Some videos coded once more."""

    catalog: Catalog
    """With the keys that they had."""
    failures: tuple[Failure, ...]
    """Those that could not be coded."""


def recompress(catalog: Catalog, rows: RowNumbers, folder: Path, crf: float) -> Recompressed:
    """Code whole videos by H.264 without their sound; frames keep their size and times.

    Args:
        catalog: of the videos.
        rows: which of them.
        folder: an empty one for the files.
        crf: x264's constant quality.

    Raises:
        ConfigError: not one can be coded, or this build of PyAV lacks the encoder.
    """
    coding = TrainCoding(short_side_px=None, crf=crf, audio_hz=None)
    items = []
    failures = []
    for number, row in enumerate(rows.tolist()):
        item, shard = catalog[row], f"{number:06d}.mp4"
        try:
            coded = transcode_item(item, catalog.root, folder / shard, coding).item
        except ConfigError:
            raise
        except AvrepError as error:
            failures.append(
                Failure(address=Address(0, row), key=item.key, stage="encode", reason=str(error))
            )
            continue
        items.append(replace(coded, key=item.key, shard=shard, offset_bytes=0))
    if not items:
        raise ConfigError(f"none of {len(rows)} videos can be coded anew: {failures[0].reason}")
    path = folder / "catalog.parquet"
    write_catalog(path, items, str(folder))
    return Recompressed(catalog=Catalog.open(path), failures=tuple(failures))
