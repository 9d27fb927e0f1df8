"""Making a part: read its items' clips, embed them, write one file.

A part is made by one worker, whole or not at all, from nothing but the job and the part's number. So
parts may be made anywhere and in any order, and a job that was killed makes those that are missing.
"""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from types import TracebackType
from typing import Self

import numpy as np
import torch

from avrep.embedding.batching import Batcher, Vector
from avrep.embedding.form import to_inputs, windows
from avrep.embedding.job import EmbedJob, load_job_encoder
from avrep.embedding.read_ahead import ReadAhead, Reading
from avrep.embedding.store import FeatureRows, PartNotes, part_path, write_part
from avrep.errors import MediaError, ShardError
from avrep.media.broken_storage import refuse_broken_storage
from avrep.pipeline.reader import failure
from avrep.sampling.windows import ItemWindow
from avrep.training.parallel import DeviceName, pick_device
from avrep.types import Address, Clip, Failure, MediaItem

# Of an item decoded in one pass: what bounds the memory that a long one takes.
_CLIPS_PER_PASS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class PartDone:
    """What came of a part."""

    num_items: int
    """Rows of the catalogue that were tried."""
    num_clips: int
    """Rows that were written."""


class PartMaker:
    """Holds the encoder and the processes that decode for it; a context manager.

    On the CPU one thread computes, whoever calls: torch sums in another order with another number of
    threads, and a vector's last bits must not depend on the machine's cores.

    Args:
        job: what to make.
        device: as a config names it.
        num_decoders: processes that decode.

    Raises:
        ConfigError: the run's weights are not those that the job was planned with; or see
            `pick_device`.
    """

    def __init__(self, job: EmbedJob, device: DeviceName, num_decoders: int) -> None:
        self._job = job
        self._device = pick_device(device)
        self._num_threads = torch.get_num_threads()
        torch.set_num_threads(1)
        self._encoder = load_job_encoder(job).to(self._device)
        self._reader = ReadAhead(
            num_decoders,
            job.catalog.root,
            job.form.geometry,
            job.decoder,
            job.limits,
            job.storage,
        )
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self._stack.enter_context(self._reader)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()
        torch.set_num_threads(self._num_threads)

    def __call__(self, part: int) -> PartDone:
        """Make a part.

        Raises:
            ShardError: most of its items cannot be read.
            OSError: it cannot be written.
        """
        job, rows = self._job, self._job.rows_of(part)
        made = _Part(job)
        batcher = Batcher(self._encoder, job.config.batch_size, made.put)
        items = zip(rows.tolist(), job.catalog.items(rows), strict=True)
        unread: set[int] = set()
        for reading, outcome in self._reader.read(made.readings(items)):
            if isinstance(outcome, ShardError):
                unread.add(reading.row)
                refuse_broken_storage(len(unread), len(rows), outcome, "avrep embed")
            if isinstance(outcome, MediaError | ShardError):
                made.fail(reading.row, reading.item, outcome)
                continue
            self._add(made, batcher, reading, outcome)
        batcher.finish()
        num_clips = made.write(part, self._device.type)
        return PartDone(num_items=len(rows), num_clips=num_clips)

    def _add(
        self, made: "_Part", batcher: Batcher, reading: Reading, clips: tuple[Clip, ...]
    ) -> None:
        try:
            inputs = to_inputs(self._job.form, clips, self._device)
        except MediaError as error:
            made.fail(reading.row, reading.item, error)
            return
        for window, crops in zip(reading.windows, inputs, strict=True):
            batcher.add(made.begin(reading, window), crops)


class _Part:
    """A part in the making: clips in their order, vectors as they come."""

    def __init__(self, job: EmbedJob) -> None:
        self._job = job
        self._clips: list[tuple[Reading, ItemWindow]] = []
        self._vectors: dict[int, Vector] = {}
        self._failures: dict[int, Failure] = {}

    def readings(self, items: Iterable[tuple[int, MediaItem]]) -> Iterator[Reading]:
        """What is to be decoded, a few clips of an item at a time."""
        for row, item in items:
            try:
                wanted = windows(self._job.form, item, self._job.config.spacing)
            except MediaError as error:
                self.fail(row, item, error)
                continue
            for first in range(0, len(wanted), _CLIPS_PER_PASS):
                yield Reading(row=row, item=item, windows=wanted[first : first + _CLIPS_PER_PASS])

    def begin(self, reading: Reading, window: ItemWindow) -> int:
        """The number of a clip whose vector is to come."""
        self._clips.append((reading, window))
        return len(self._clips) - 1

    def put(self, clip: int, vector: Vector | str) -> None:
        """A clip's vector, or why it has none."""
        if isinstance(vector, str):
            reading, _ = self._clips[clip]
            self.fail(reading.row, reading.item, MediaError("encode", vector))
        else:
            self._vectors[clip] = vector

    def fail(self, row: int, item: MediaItem, error: MediaError | ShardError) -> None:
        """The whole item is left out; of several reasons the first is told."""
        told = failure(Address(0, row), item, self._job.catalog.root, error)
        self._failures.setdefault(row, told)

    def write(self, part: int, device: str) -> int:
        """Write the clips of all items that did not fail.

        Returns:
            How many.
        """
        kept = [
            n for n, (reading, _) in enumerate(self._clips) if reading.row not in self._failures
        ]
        none = np.zeros((0, self._job.facts.width), np.float32)
        rows = FeatureRows(
            keys=tuple(self._clips[n][0].item.key for n in kept),
            start_s=np.array([self._clips[n][1].start_s for n in kept], np.float64),
            end_s=np.array([self._clips[n][1].end_s for n in kept], np.float64),
            vectors=np.concatenate([none, *(self._vectors[n][None] for n in kept)]),
        )
        facts = {**asdict(self._job.facts), **self._job.made_with, "device": device}
        failures = [asdict(self._failures[row]) for row in sorted(self._failures)]
        write_part(part_path(self._job.out, part), rows, PartNotes(facts, failures))
        return len(kept)
