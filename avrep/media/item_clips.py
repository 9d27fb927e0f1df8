"""Clips of an item, from wherever its bytes are."""

import contextlib
from collections.abc import Sequence
from io import IOBase

from avrep.media import shards
from avrep.media.decode import DecoderName, decode_views
from avrep.media.limits import DecodeLimits
from avrep.media.storage import StorageConfig
from avrep.types import Clip, ClipTimes, Geometry, MediaItem


def read_clips(
    item: MediaItem,
    root: str,
    times: Sequence[ClipTimes],
    geometry: Geometry,
    decoder: DecoderName = "pyav",
    limits: DecodeLimits | None = None,
    storage: StorageConfig | None = None,
) -> tuple[Clip, ...]:
    """Fetch an item and decode all clips of it in one pass.

    Args:
        item: the catalogue's row.
        root: what its shard is relative to.
        times: of each clip.
        geometry: size of frames and rate of samples.
        decoder: see `decode_views`.
        limits: what is refused; the defaults of `DecodeLimits` when None.
        storage: how patiently the store is asked; the defaults of `StorageConfig` when None.

    Raises:
        MediaError: see `decode_views`.
        ShardError: its bytes cannot be had.
    """
    data = shards.fetch(item, root, storage)
    with contextlib.ExitStack() as stack:
        if isinstance(data, IOBase):
            stack.enter_context(data)
        return decode_views(data, times, geometry, decoder=decoder, limits=limits)
