"""How a trainer opens its stream: the same call whether or not Ray decodes for it."""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
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


@contextmanager
def open_mixture(
    open_stream: OpenStream,
    sources: Mapping[str, StreamSource],
    steps: range,
    rank: int = 0,
    world_size: int = 1,
) -> Iterator[Iterator[Batch]]:
    """The streams of several corpora as one: each batch is the first's, with the others' in it."""
    with ExitStack() as stack:
        streams = [
            stack.enter_context(open_stream(source, steps, rank, world_size))
            for source in sources.values()
        ]
        names = list(sources)[1:]
        yield (
            replace(first, others=dict(zip(names, others, strict=True)))
            for first, *others in zip(*streams, strict=True)
        )
