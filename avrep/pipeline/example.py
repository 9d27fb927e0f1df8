"""One visit becomes its clips: sample the times of all its draws, decode once for all of them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from avrep import rng
from avrep.media import shards
from avrep.media.catalog import Catalog
from avrep.media.decode import DecoderName, decode_views
from avrep.media.limits import DecodeLimits
from avrep.media.storage import StorageConfig
from avrep.pipeline.plan import Plan, Sweep
from avrep.pipeline.quarantine import KnownBad
from avrep.sampling.spec import (
    ViewSpec,
    draw_views,
    num_frames_in_view,
    num_views,
    sound_in_view_s,
)
from avrep.types import Address, Clip, ClipTimes, MediaItem, StageTimes

_USUAL_PX = (1280, 720)
_USUAL_RATE_HZ = 48_000


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamSource:
    """All that it takes to make any batch of a run: it travels to a decode actor as it is."""

    catalog: Catalog
    plan: Plan | Sweep
    specs: tuple[ViewSpec, ...]
    """What clips the objectives need of each item; an item is decoded once for all."""
    decoder: DecoderName = "pyav"
    limits: DecodeLimits = field(default_factory=DecodeLimits)
    storage: StorageConfig = field(default_factory=StorageConfig)
    known_bad: KnownBad = field(default_factory=KnownBad)
    """Items that need not be tried again: those of a resumed run's quarantine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """What one visit gave."""

    draws: tuple[tuple[Clip, ...], ...]
    """Of each draw, its clips in the order of the specs and of each spec's views."""
    num_bad_packets: int
    spent: StageTimes

    @property
    def num_bytes(self) -> int:
        arrays = [a for clips in self.draws for clip in clips for a in (clip.video, clip.audio)]
        return sum(array.nbytes for array in arrays if array is not None)

    def after(self, spent: StageTimes) -> "Example":
        """The same, having cost that much more."""
        return replace(self, spent=self.spent + spent)


def draw_times(source: StreamSource, address: Address) -> tuple[tuple[ClipTimes, ...], ...]:
    """The times of every clip of an address, a tuple for each spec; nothing is read.

    Raises:
        MediaError: the item lacks a stream that a spec samples from.
    """
    return _draw_times(source, source.catalog[address.item], address)


def read_example(
    source: StreamSource, item: MediaItem, addresses: Sequence[Address], data: shards.Source
) -> Example:
    """The clips of all draws of one visit.

    Args:
        source: what is wanted of each item.
        item: the visited row.
        addresses: its draws.
        data: the item's bytes, or a window of them.

    Raises:
        MediaError: the item's bytes are not usable media.
        ShardError: bytes that a window still had to fetch cannot be had.
    """
    wanted = [
        (d, spec, times)
        for d, address in enumerate(addresses)
        for spec, views in zip(source.specs, _draw_times(source, item, address), strict=True)
        for times in views
    ]
    decoded = decode_views(
        data,
        [times for _, _, times in wanted],
        [spec.geometry for _, spec, _ in wanted],
        decoder=source.decoder,
        limits=source.limits,
    )
    return Example(
        draws=tuple(
            tuple(clip for clip, (drawn, _, _) in zip(decoded, wanted, strict=True) if drawn == d)
            for d in range(len(addresses))
        ),
        num_bad_packets=decoded[0].num_bad_packets,
        spent=decoded[0].spent,
    )


def expected_bytes(source: StreamSource) -> int:
    """About how many bytes of clips one visit gives, of items of the usual shape."""
    num_draws = source.plan.draws_per_visit if isinstance(source.plan, Plan) else 1
    num_bytes = [num_views(spec) * _view_bytes(spec) for spec in source.specs]
    return num_draws * sum(num_bytes)


def _view_bytes(spec: ViewSpec) -> int:
    frame_bytes = 3 * math.prod(spec.geometry.size_px(*_USUAL_PX))
    sound_bytes = 4 * (spec.geometry.rate_hz or _USUAL_RATE_HZ) * sound_in_view_s(spec)
    return frame_bytes * num_frames_in_view(spec) + round(sound_bytes)


def _draw_times(
    source: StreamSource, item: MediaItem, address: Address
) -> tuple[tuple[ClipTimes, ...], ...]:
    return tuple(
        draw_views(spec, item, rng.at(source.plan.seed, rng.Stage.SAMPLE, address, lane))
        for lane, spec in enumerate(source.specs)
    )
