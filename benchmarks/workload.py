"""What every contender is asked for: which clips of which files, batch by batch."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from avrep.media import shards
from avrep.media.catalog import Catalog
from avrep.pipeline.example import StreamSource, draw_times
from avrep.pipeline.plan import Plan, addresses
from avrep.sampling.clips import UniformConfig
from avrep.sampling.spec import ViewSpec
from avrep.types import ClipTimes, Geometry, MediaItem, VideoStream

SHORT_SIDE_PX = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """Two clips of each file, drawn uniformly and apart from each other."""

    name: str
    catalog: Path
    rows: tuple[int, ...]
    """Rows of the catalogue; a multiple of `batch_items`, so that a pass takes each of them once."""
    fps: float
    """The files' rate, to the nearest frame a second."""
    stride: int
    num_frames: int = 16
    batch_items: int = 4
    packed: Path | None = None
    """The same files packed for training; its own rows, as many."""

    @property
    def batches_per_pass(self) -> int:
        return len(self.rows) // self.batch_items

    @property
    def clips_per_batch(self) -> int:
        return 2 * self.batch_items

    def source(self) -> StreamSource:
        sampler = UniformConfig(num_frames=self.num_frames, stride=self.stride, num_clips=2)
        spec = ViewSpec(sampler=sampler, geometry=Geometry(short_side_px=SHORT_SIDE_PX))
        plan = Plan(seed=0, rows=np.array(self.rows, np.int64), global_batch=self.batch_items)
        return StreamSource(catalog=open_catalog(self.catalog), plan=plan, specs=(spec,))

    def on_packed(self) -> "Workload | None":
        """The same clips out of the packed corpus, whose rows stand in an order of their own."""
        if self.packed is None:
            return None
        sources = open_catalog(self.catalog)
        keys = {sources[row].key for row in self.rows}
        rows = tuple(row for row, item in enumerate(open_catalog(self.packed)) if item.key in keys)
        return replace(self, catalog=self.packed, rows=rows, packed=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One item of a batch, for those who know no catalogue."""

    path: str
    item: MediaItem
    views: tuple[ClipTimes, ...]

    @property
    def video(self) -> VideoStream:
        if self.item.video is None:
            raise ValueError(f"{self.item.key} has no picture")
        return self.item.video

    @property
    def size_px(self) -> tuple[int, int]:
        """(width, height) that the frames shall have."""
        geometry = Geometry(short_side_px=SHORT_SIDE_PX)
        return geometry.size_px(self.video.width_px, self.video.height_px)


def jobs(workload: Workload, num_passes: int) -> Iterator[Job]:
    """The items of the first passes, in the plan's order."""
    source = workload.source()
    for step in range(num_passes * workload.batches_per_pass):
        for address in addresses(source.plan, step):
            item = source.catalog[address.item]
            (views,) = draw_times(source, address)
            yield Job(path=shards.shard_url(item, source.catalog.root), item=item, views=views)


def open_catalog(path: Path) -> Catalog:
    """A catalogue, its shards beside it where they are named without a root."""
    catalog = Catalog.open(path)
    return Catalog.open(path, str(path.parent)) if catalog.root in ("", ".") else catalog


def even_rows(catalog: Catalog, num_frames: int, stride: int, batch_items: int = 4) -> list[int]:
    """Rows of the largest group of one size and rate whose clips fit, cut to whole batches.

    Peers stack frames of one size only, and count time in clips of one length.
    """
    groups: dict[tuple[int, int, int], list[int]] = {}
    for row, item in enumerate(catalog):
        video = item.video
        # Half a second to spare, as peers count a clip to the end of its last frame.
        if video is None or video.num_frames < (num_frames - 1) * stride + 1 + video.fps / 2:
            continue
        groups.setdefault((video.width_px, video.height_px, round(video.fps)), []).append(row)
    largest = max(groups.values(), key=len, default=[])
    return largest[: len(largest) // batch_items * batch_items]
