"""How a trainer opens its stream: the same call whether or not Ray decodes for it."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from avrep.pipeline.batches import batches
from avrep.pipeline.example import StreamSource
from avrep.types import Batch

PREFETCH_BYTES = 2**29
"""Clips made or being made ahead of a trainer, unless said otherwise."""


class OpenStream(Protocol):
    """Opens one rank's batches of some steps; leaving the context frees what they hold."""

    def __call__(
        self, source: StreamSource, steps: range, rank: int = 0, world_size: int = 1
    ) -> AbstractContextManager[Iterator[Batch]]: ...


@contextmanager
def plain_stream(
    source: StreamSource, steps: range, rank: int = 0, world_size: int = 1
) -> Iterator[Iterator[Batch]]:
    """The stream without Ray: each batch is decoded in this process when it is asked for."""
    yield batches(source, steps, rank, world_size)
