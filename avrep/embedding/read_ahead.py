"""Clips of many items in their order, decoded ahead of whoever takes them, in processes that may die."""

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from queue import SimpleQueue
from types import TracebackType
from typing import Self

from avrep.errors import MediaError, ShardError
from avrep.media.decode import DecoderName
from avrep.media.item_clips import read_clips
from avrep.media.limits import DecodeLimits
from avrep.media.own_process import OwnProcess
from avrep.media.storage import StorageConfig
from avrep.sampling.windows import ItemWindow
from avrep.types import Clip, Geometry, MediaItem


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """Some windows of an item, which are decoded in one pass."""

    row: int
    """Of the catalogue."""
    item: MediaItem
    windows: tuple[ItemWindow, ...]


Outcome = tuple[Clip, ...] | MediaError | ShardError


class ReadAhead:
    """Decode processes, and what they are asked for; a context manager.

    Args:
        num_processes: that decode at a time, each one core's worth.
        root: what items' shards are relative to.
        geometry: of the clips.
        decoder: which.
        limits: what a file may cost.
        storage: how patiently the store is asked.
    """

    def __init__(
        self,
        num_processes: int,
        root: str,
        geometry: Geometry,
        decoder: DecoderName,
        limits: DecodeLimits,
        storage: StorageConfig,
    ) -> None:
        self._num_processes = num_processes
        self._root, self._geometry, self._decoder = root, geometry, decoder
        self._limits, self._storage = limits, storage
        self._idle: SimpleQueue[OwnProcess[..., tuple[Clip, ...]]] = SimpleQueue()
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        for _ in range(self._num_processes):
            process = OwnProcess(read_clips, self._limits.max_memory_bytes)
            self._idle.put(self._stack.enter_context(process))
        # Entered last: its threads end before the processes that they wait for.
        self._pool = self._stack.enter_context(ThreadPoolExecutor(self._num_processes))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._stack.close()

    def read(self, readings: Iterable[Reading]) -> Iterator[tuple[Reading, Outcome]]:
        """What came of each, in order; as many are in the making as there are processes, and one more."""
        asked: deque[tuple[Reading, Future[Outcome]]] = deque()
        for reading in readings:
            asked.append((reading, self._pool.submit(self._decoded, reading)))
            if len(asked) > self._num_processes:
                first, outcome = asked.popleft()
                yield first, outcome.result()
        for reading, outcome in asked:
            yield reading, outcome.result()

    def _decoded(self, reading: Reading) -> Outcome:
        process = self._idle.get()
        try:
            return process.call(
                self._limits.deadline_s,
                reading.item,
                self._root,
                [window.times for window in reading.windows],
                self._geometry,
                self._decoder,
                self._limits,
                self._storage,
            )
        except (MediaError, ShardError) as error:
            return error
        finally:
            self._idle.put(process)
