"""One address becomes its clips: sample the times, fetch the bytes, decode once for all views."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from avrep import rng
from avrep.media import shards
from avrep.media.catalog import Catalog
from avrep.media.decode import DecoderName, decode_views
from avrep.media.limits import DecodeLimits
from avrep.pipeline.plan import Plan, Sweep
from avrep.sampling.spec import ViewSpec, draw_views
from avrep.types import Address, Clip, ClipTimes


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamSource:
    """All that it takes to make any batch of a run: it travels to a decode actor as it is."""

    catalog: Catalog
    plan: Plan | Sweep
    specs: tuple[ViewSpec, ...]
    """What clips the objectives need of each item; an item is decoded once for each geometry."""
    decoder: DecoderName = "pyav"
    limits: DecodeLimits = field(default_factory=DecodeLimits)


def draw_times(source: StreamSource, address: Address) -> tuple[tuple[ClipTimes, ...], ...]:
    """The times of every clip of an address, a tuple for each spec; nothing is read.

    Raises:
        MediaError: the item lacks a stream that a spec samples from.
    """
    item = source.catalog[address.item]
    return tuple(
        draw_views(spec, item, rng.at(source.plan.seed, rng.Stage.SAMPLE, address, lane))
        for lane, spec in enumerate(source.specs)
    )


def read_example(source: StreamSource, address: Address) -> tuple[Clip, ...]:
    """The clips of an address, in the order of the specs and of each spec's views.

    Raises:
        MediaError: the item's bytes are not usable media.
        ShardError: the item's bytes cannot be fetched.
    """
    item = source.catalog[address.item]
    times = draw_times(source, address)
    data = shards.fetch(item, source.catalog.root)
    try:
        return _decode(source, data, times)
    finally:
        if not isinstance(data, bytes):
            data.close()


def _decode(
    source: StreamSource, data: shards.Source, times: Sequence[tuple[ClipTimes, ...]]
) -> tuple[Clip, ...]:
    # One pass for each distinct geometry: most runs have one.
    clips: dict[tuple[int, int], Clip] = {}
    for geometry in dict.fromkeys(spec.geometry for spec in source.specs):
        places = [
            (i, j)
            for i, spec in enumerate(source.specs)
            if spec.geometry == geometry
            for j in range(len(times[i]))
        ]
        wanted = [times[i][j] for i, j in places]
        decoded = decode_views(data, wanted, geometry, decoder=source.decoder, limits=source.limits)
        clips.update(zip(places, decoded, strict=True))
    return tuple(clips[place] for place in sorted(clips))
