"""A small corpus held in memory: each video is decoded once a run, and clips are cut from that."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np

from avrep import rng
from avrep.pipeline.batches import batches
from avrep.pipeline.example import StreamSource
from avrep.pipeline.plan import Sweep, addresses
from avrep.sampling.clips import DenseConfig
from avrep.sampling.spec import ViewSpec, draw_views
from avrep.types import Batch, ClipTimes, TimesS, Video, View

_DECODED_AT_ONCE = 8


@contextmanager
def held_stream(
    source: StreamSource, steps: range, rank: int = 0, world_size: int = 1
) -> Iterator[Iterator[Batch]]:
    """The plain stream's batches, of videos that are of one length and fit into memory.

    Decoding costs more than a network this small does, and for each step it would be done again.

    Args:
        source: with one spec, of pictures alone.
        steps: which steps.
        rank: whose share.
        world_size: how many share a step.
    """
    (spec,) = source.specs
    held = _decoded(source, spec)

    def made() -> Iterator[Batch]:
        for step in steps:
            planned = addresses(source.plan, step, rank, world_size)
            items = [source.catalog[address.item] for address in planned]
            draws = [
                draw_views(spec, item, rng.at(source.plan.seed, rng.Stage.SAMPLE, address, 0))
                for item, address in zip(items, planned, strict=True)
            ]
            videos = [held[address.item] for address in planned]
            yield Batch(
                step=step,
                addresses=planned,
                keys=tuple(item.key for item in items),
                views=tuple(_view(videos, of_view) for of_view in zip(*draws, strict=True)),
                labels=tuple(item.labels for item in items),
            )

    yield made()


def _decoded(source: StreamSource, spec: ViewSpec) -> dict[int, tuple[Video, TimesS]]:
    """Row -> all frames of its video, and when each begins to be shown."""
    rows = source.plan.rows
    streams = [source.catalog[int(row)].video for row in rows]
    (num_frames,) = {stream.num_frames for stream in streams if stream is not None}
    whole = DenseConfig(num_frames=num_frames, stride=1, num_clips=1)
    sweep = Sweep(seed=0, rows=rows, batch_size=_DECODED_AT_ONCE)
    source = replace(source, plan=sweep, specs=(replace(spec, sampler=whole),))
    held: dict[int, tuple[Video, TimesS]] = {}
    for batch in batches(source, range(sweep.num_steps)):
        (view,) = batch.views
        if view.video is not None:
            for place, address in enumerate(batch.addresses):
                height, width = view.size_px[place]
                frames = view.video[place, :, :height, :width].copy()
                held[address.item] = frames, view.pts_s[place]
    return held


def _view(videos: list[tuple[Video, TimesS]], wanted: tuple[ClipTimes, ...]) -> View:
    clips = [
        (frames[places], pts_s[places])
        for (frames, pts_s), times in zip(videos, wanted, strict=True)
        for places in [np.searchsorted(pts_s, times.frames_s, side="right") - 1]
    ]
    return View(
        video=np.stack([frames for frames, _ in clips]),
        size_px=np.array([frames.shape[1:3] for frames, _ in clips], np.int32),
        pts_s=np.stack([pts_s for _, pts_s in clips]),
        first_frame_s=np.array([times.frames_s[0] for times in wanted]),
    )
