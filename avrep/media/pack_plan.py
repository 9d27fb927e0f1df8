"""Which items go into which shard: a pure function of the source catalogue and the config."""

from dataclasses import dataclass, field
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from avrep import rng
from avrep.errors import ConfigError
from avrep.media.catalog import Catalog
from avrep.media.train_coding import TrainCoding
from avrep.types import Address, RowNumbers

# Two headers, a sidecar, and what fills each up to tar's blocks.
_TAR_BYTES_PER_ITEM = 3072
# Measured at 128 pixels and CRF 20 on real clips, most of which came within a factor of two.
_BITS_PER_PIXEL = 0.15
_FLAC_SHARE = 0.5
_NOT_IN_THE_BYTES = {"deadline_s"}


class PackConfig(TrainCoding):
    """How a corpus is packed; the fields of `TrainCoding` count for the mode "transcode" only."""

    mode: Literal["copy", "transcode"] = "transcode"
    """"transcode" codes each item anew for training, "copy" takes its bytes as they are: for
    corpora that are small enough already, or where no pixel may change."""
    shard_bytes: int = Field(default=256 * 2**20, ge=2**16)
    """About how large a shard is: exactly planned in the mode "copy", else estimated from length
    and size. A killed pack loses the shards that were being written; a shard is what one worker
    works at, so a small corpus on many cores wants smaller ones."""
    seed: int | None = Field(default=0, ge=0, lt=2**64)
    """Of the order of the items. A corpus sorted by class would make shards of one class, which no
    shuffling of blocks within a window mixes; shuffled once here, neighbours are strangers. None
    keeps the source's order."""
    deadline_s: float = Field(default=60.0, gt=0)
    """Time for coding one item, beside ten times its own length; one that takes longer is rejected."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardPlan:
    """The rows of the source catalogue in the order of the pack, cut into shards."""

    order: RowNumbers = field(repr=False)
    edges: Annotated[npt.NDArray[np.int64], "n+1"] = field(repr=False)

    def __len__(self) -> int:
        return len(self.edges) - 1

    def rows(self, shard: int) -> RowNumbers:
        """The rows of a shard, in order."""
        return self.order[self.edges[shard] : self.edges[shard + 1]]


def plan_shards(catalog: Catalog, config: PackConfig) -> ShardPlan:
    """Cut the corpus into shards.

    Raises:
        ConfigError: the catalogue is empty.
    """
    if not len(catalog):
        raise ConfigError(f"{catalog.path} lists no items; there is nothing to pack")
    order = np.arange(len(catalog), dtype=np.int64)
    if config.seed is not None:
        # Raw words of the generator: NumPy promises these for good, its permutations it does not.
        words = rng.at(config.seed, rng.Stage.PLAN, Address(0, 0)).bit_generator
        order = np.argsort(words.random_raw(len(catalog)), kind="stable").astype(np.int64)
    sizes = (_item_bytes(catalog, config) + _TAR_BYTES_PER_ITEM)[order]
    begins = np.cumsum(sizes) - sizes
    shard_of = begins // config.shard_bytes
    cuts = np.flatnonzero(np.diff(shard_of)) + 1
    return ShardPlan(order=order, edges=np.concatenate([[0], cuts, [len(order)]]).astype(np.int64))


def identity(catalog: Catalog, config: PackConfig) -> dict[str, object]:
    """What decides every byte of a pack, as JSON can hold it."""
    return {
        "version": 1,
        "source_digest": catalog.digest,
        "num_items": len(catalog),
        "config": config.model_dump(mode="json", exclude=_NOT_IN_THE_BYTES),
    }


def _item_bytes(catalog: Catalog, config: PackConfig) -> npt.NDArray[np.int64]:
    """Bytes that each item will take, exactly or about."""
    if config.mode == "copy":
        return np.asarray(catalog.table(["length_bytes"])["length_bytes"], np.int64)
    duration_s = np.asarray(catalog.table(["duration_s"])["duration_s"], np.float64)
    video_bits = _pixels_per_s(catalog, config) * _BITS_PER_PIXEL
    audio_bits = 16 * (config.audio_hz or 0) * _FLAC_SHARE
    return (duration_s * (video_bits + audio_bits) / 8).astype(np.int64)


def _pixels_per_s(catalog: Catalog, config: PackConfig) -> npt.NDArray[np.float64]:
    width_px, height_px, fps = (
        np.nan_to_num(_leaf(catalog, name)) for name in ("width_px", "height_px", "fps")
    )
    short_px = np.maximum(np.minimum(width_px, height_px), 1)
    scale = np.minimum(1.0, (config.short_side_px or np.inf) / short_px)
    return width_px * height_px * scale**2 * fps


def _leaf(catalog: Catalog, name: str) -> npt.NDArray[np.float64]:
    """A field of every item's video stream; NaN where there is none."""
    column = catalog.table([f"video.{name}"])["video"].combine_chunks()
    values = column.flatten()[0] if hasattr(column, "flatten") else column
    return values.cast("float64").to_numpy(zero_copy_only=False)
