"""Streams of tiny clips, and what tells one stream from another: the digests of its batches."""

import hashlib
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from avrep.media.catalog import Catalog
from avrep.media.decode import DecoderName
from avrep.media.limits import DecodeLimits
from avrep.pipeline.batches import batches
from avrep.pipeline.example import StreamSource
from avrep.pipeline.plan import Plan
from avrep.pipeline.quarantine import KnownBad
from avrep.pipeline.shuffle import ShuffleConfig
from avrep.sampling.pairs import PairConfig
from avrep.sampling.spec import ViewSpec
from avrep.types import Batch, Geometry


def make_source(
    catalog: Catalog,
    *,
    global_batch: int = 4,
    num_frames: int = 2,
    short_side_px: int = 32,
    decoder: DecoderName = "pyav",
    limits: DecodeLimits | None = None,
    known_bad: KnownBad | None = None,
    draws_per_visit: int = 1,
) -> StreamSource:
    """Pairs of tiny clips of every video of a catalogue."""
    return StreamSource(
        catalog=catalog,
        plan=Plan(
            seed=1,
            rows=catalog.rows_with(video=True),
            global_batch=global_batch,
            draws_per_visit=draws_per_visit,
            # Several blocks and windows in the tests' small corpora.
            shuffle=ShuffleConfig(block_items=4, window_blocks=4),
        ),
        specs=(
            ViewSpec(
                sampler=PairConfig(num_frames=num_frames, stride=2),
                geometry=Geometry(short_side_px=short_side_px),
            ),
        ),
        decoder=decoder,
        limits=limits or DecodeLimits(),
        known_bad=known_bad or KnownBad(),
    )


def digest(batch: Batch) -> str:
    """SHA-256 over what a trainer sees of a batch: addresses, keys, labels and every array."""
    taken = hashlib.sha256()
    said = [(a.epoch, a.item, a.draw) for a in batch.addresses]
    taken.update(repr((batch.step, said, batch.keys, batch.labels)).encode())
    for view in batch.views:
        for array in (view.video, view.size_px, view.pts_s, view.audio, view.audio_start_s):
            taken.update(_form_and_bytes(array))
        taken.update(str(view.rate_hz).encode())
    return taken.hexdigest()


def row_digests(batch: Batch) -> list[str]:
    """The same of each row by itself, without the padding that other rows may make necessary."""
    rows: list[str] = []
    for row in range(len(batch.addresses)):
        taken = hashlib.sha256(batch.keys[row].encode())
        for view in batch.views:
            assert view.video is not None
            height, width = view.size_px[row]
            taken.update(_form_and_bytes(view.video[row, :, :height, :width]))
            taken.update(_form_and_bytes(view.pts_s[row]))
        rows.append(taken.hexdigest())
    return rows


def plain_digests(source: StreamSource, steps: Iterable[int]) -> list[str]:
    """Those of the stream that nothing disturbs, made in this process without Ray."""
    return [digest(batch) for batch in batches(source, steps)]


def _form_and_bytes(array: npt.NDArray[np.generic] | None) -> bytes:
    if array is None:
        return b"none"
    return f"{array.dtype}{array.shape}".encode() + array.tobytes()
