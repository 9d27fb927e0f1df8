"""Tries quarantined items again, to see which can be used now."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from avrep.errors import ConfigError
from avrep.pipeline.example import StreamSource
from avrep.pipeline.plan import Sweep
from avrep.pipeline.quarantine import QuarantineEntry
from avrep.pipeline.stream import OpenStream
from avrep.types import Failure


def retry_items(
    source: StreamSource,
    entries: Sequence[QuarantineEntry],
    open_stream: OpenStream,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[tuple[str, ...], tuple[Failure, ...]]:
    """Read and decode each item once more, by itself.

    An item is decoded at other instants than those at which it failed, so one that is damaged in
    places may pass, and be quarantined again later.

    Args:
        source: what the run's stream is made from.
        entries: of the run's quarantine.
        open_stream: on decode actors, so that items which end or stall a decoder are survived.
        progress: told (items tried, items in all).

    Returns:
        The keys of the items that can be used now, and the failures of the others.

    Raises:
        ConfigError: the catalogue is not the one that the entries speak of.
    """
    keys = {entry.item: entry.key for entry in entries}
    for row, key in keys.items():
        if row >= len(source.catalog) or source.catalog[row].key != key:
            raise ConfigError(
                f"row {row} of {source.catalog.path} is not {key}, which was quarantined; "
                "put the catalogue back with which the run was made"
            )
    sweep = Sweep(seed=source.plan.seed, rows=np.array(sorted(keys), np.int64), batch_size=1)
    alone = replace(source, plan=sweep)
    usable: list[str] = []
    failures: list[Failure] = []
    with open_stream(alone, range(sweep.num_steps)) as stream:
        for number, batch in enumerate(stream, start=1):
            usable.extend(batch.keys)
            failures.extend(batch.failures)
            if progress:
                progress(number, sweep.num_steps)
    return tuple(usable), tuple(failures)
