"""What one would write in an afternoon, written well: a Dataset around a decoder, a DataLoader.

Each item is opened once for both views, one thread a worker, resized by the decoder's own library,
frames by time where the library can. None of them knows rotation, damage, or a common clock.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from benchmarks.workload import Job

ReadItem = Callable[[Job], tuple[Tensor, ...]]
"""What one item gives: for each view uint8[t h w 3], or float32[s], or one after the other."""

Delivered = tuple[npt.NDArray[Any], ...]
"""One batch as the consumer gets it, stacked: for each view uint8[b t h w 3] or float32[b s]."""

NUM_WORKERS = 2


@contextmanager
def loader(
    read_item: ReadItem, items: Sequence[Job], batch_items: int
) -> Iterator[Iterator[Delivered]]:
    """Batches by a DataLoader of two workers, in the order of the items."""
    loaded: DataLoader[tuple[Tensor, ...]] = DataLoader(
        _Items(read_item, items),
        batch_size=batch_items,
        num_workers=NUM_WORKERS,
        collate_fn=_stack,
        drop_last=True,
    )
    yield (tuple(view.numpy() for view in views) for views in loaded)


def read_with_decord(job: Job) -> tuple[Tensor, ...]:
    """By decord, which resizes as it decodes: it is asked for frames by number, found in its table of times."""
    import decord

    width_px, height_px = job.size_px
    reader = decord.VideoReader(job.path, width=width_px, height=height_px, num_threads=1)
    starts_s = reader.get_frame_timestamp(range(len(reader)))[:, 0]
    wanted_s = np.concatenate([view.frames_s for view in job.views]) - job.video.start_s
    numbers = np.searchsorted(starts_s - starts_s[0], wanted_s, side="right") - 1
    order = np.argsort(numbers, kind="stable")
    frames = reader.get_batch(numbers[order].tolist()).asnumpy()
    return _views(torch.from_numpy(frames), order, len(job.views))


def read_with_pyav(job: Job) -> tuple[Tensor, ...]:
    """One pass from the key frame before the first wanted frame; only wanted frames are converted."""
    import av

    width_px, height_px = job.size_px
    wanted_s = np.concatenate([view.frames_s for view in job.views])
    order = np.argsort(wanted_s, kind="stable")
    frames = np.empty((len(order), height_px, width_px, 3), np.uint8)
    with av.open(job.path) as container:
        stream = container.streams.video[0]
        stream.thread_type = "NONE"
        base_s = float(stream.time_base or 1)
        # Its own clock starts with the container, which may be before or after zero.
        wanted_s = wanted_s - job.video.start_s + (stream.start_time or 0) * base_s
        container.seek(int(wanted_s[order[0]] / base_s), stream=stream)
        place, shown = 0, None
        for frame in container.decode(stream):
            due = (frame.pts or 0) * base_s
            if shown is not None and wanted_s[order[place]] < due:
                pixels = shown.reformat(width_px, height_px, "rgb24").to_ndarray()
                while place < len(order) and wanted_s[order[place]] < due:
                    frames[place] = pixels
                    place += 1
                if place == len(order):
                    break
            shown = frame
        if place < len(order) and shown is not None:
            frames[place:] = shown.reformat(width_px, height_px, "rgb24").to_ndarray()
    return _views(torch.from_numpy(frames), order, len(job.views))


def read_with_torchcodec(job: Job) -> tuple[Tensor, ...]:
    """By torchcodec, asked by time; it resizes, and reads the packets once to know the times."""
    from torchcodec.decoders import VideoDecoder
    from torchcodec.transforms import Resize

    width_px, height_px = job.size_px
    decoder = VideoDecoder(
        job.path,
        dimension_order="NHWC",
        num_ffmpeg_threads=1,
        transforms=[Resize((height_px, width_px))],
    )
    wanted_s = np.concatenate([view.frames_s for view in job.views]) - job.video.start_s
    wanted_s += decoder.metadata.begin_stream_seconds or 0.0
    order = np.argsort(wanted_s, kind="stable")
    frames = decoder.get_frames_played_at(wanted_s[order].tolist()).data
    return _views(frames, order, len(job.views))


class _Items(Dataset[tuple[Tensor, ...]]):
    def __init__(self, read_item: ReadItem, items: Sequence[Job]) -> None:
        self._read_item = read_item
        self._items = items

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, number: int) -> tuple[Tensor, ...]:
        return self._read_item(self._items[number])


def _stack(items: list[tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
    return tuple(torch.stack(parts) for parts in zip(*items, strict=True))


def _views(frames: Tensor, order: npt.NDArray[np.int64], num_views: int) -> tuple[Tensor, ...]:
    """Frames that were read in another order, in their own, cut into views."""
    back = torch.empty_like(frames)
    back[torch.from_numpy(order)] = frames
    return back.unflatten(0, (num_views, -1)).unbind()
