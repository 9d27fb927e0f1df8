"""A stream that tells what was asked of it."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field

from avrep.pipeline.example import StreamSource
from avrep.pipeline.plan import Plan
from avrep.pipeline.stream import plain_stream
from avrep.types import Batch


@dataclass
class Watched:
    """The plain stream, with a list of what it was opened for."""

    opened: list[tuple[bool, frozenset[int], range]] = field(default_factory=list)
    """Whether for training, of which rows, for which steps."""

    def __call__(
        self, source: StreamSource, steps: range, rank: int = 0, world_size: int = 1
    ) -> AbstractContextManager[Iterator[Batch]]:
        return self._open(source, steps, rank, world_size)

    @contextmanager
    def _open(
        self, source: StreamSource, steps: range, rank: int, world_size: int
    ) -> Iterator[Iterator[Batch]]:
        rows = frozenset(source.plan.rows.tolist())
        self.opened.append((isinstance(source.plan, Plan), rows, steps))
        with plain_stream(source, steps, rank, world_size) as stream:
            yield stream
