"""A contact sheet of a search: what was asked for, and under it what was found, nearest first."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from avrep.embedding.query import Query
from avrep.embedding.search import Hit
from avrep.errors import MediaError, ShardError
from avrep.media.catalog import Catalog
from avrep.media.item_clips import read_clips
from avrep.report.contact_sheet import SheetRow, SheetView, draw_contact_sheet
from avrep.types import Clip, ClipTimes, Geometry, MediaItem

_NUM_FRAMES = 4
_SHORT_SIDE_PX = 112
_RATE_HZ = 16_000


def draw_nearest(
    query: Query, hits: Sequence[Hit], catalog: Catalog, out: Path, *, with_sound: bool
) -> None:
    """Write a PNG; of a clip that cannot be decoded now, the sheet says why.

    Args:
        query: what was asked for.
        hits: what was found.
        catalog: where the items are.
        out: the PNG.
        with_sound: show the clips' sound too.
    """
    items = _items({hit.key for hit in hits}, catalog)
    rows: list[SheetRow] = []
    for rank, hit in enumerate(hits, start=1):
        title = f"{rank}.  {hit.similarity:.3f}  {hit.key}, {hit.start_s:.2f} to {hit.end_s:.2f} s"
        rows.append(SheetRow(title=title, views=_found(hit, items, catalog.root, with_sound)))
    asked = (_view(query.clip),) if query.clip else ()
    heading = SheetRow(title=f"asked for: {query.title}", views=asked)
    # A spectrogram is as wide as a page.
    draw_contact_sheet(rows, out, num_columns=1 if with_sound else 2, heading=heading)


def _items(keys: set[str], catalog: Catalog) -> Mapping[str, MediaItem]:
    rows = [row for row, key in enumerate(catalog.keys()) if key in keys]
    return {item.key: item for item in catalog.items(rows)}


def _found(
    hit: Hit, items: Mapping[str, MediaItem], root: str, with_sound: bool
) -> tuple[SheetView, ...]:
    item = items.get(hit.key)
    if item is None:
        return (SheetView(name="the catalogue has no such item any more"),)
    places = (np.arange(_NUM_FRAMES) + 0.5) / _NUM_FRAMES
    frames_s = hit.start_s + places * (hit.end_s - hit.start_s)
    heard = with_sound and item.audio is not None
    times = ClipTimes(
        frames_s=frames_s if item.video else np.zeros(0),
        audio_s=(hit.start_s, hit.end_s) if heard else None,
    )
    geometry = Geometry(short_side_px=_SHORT_SIDE_PX, rate_hz=_RATE_HZ)
    try:
        return (_view(read_clips(item, root, [times], geometry)[0]),)
    except (MediaError, ShardError) as error:
        return (SheetView(name=f"cannot be shown: {' '.join(str(error).split())}"),)


def _view(clip: Clip) -> SheetView:
    return SheetView(
        frames=clip.video,
        times_s=clip.pts_s,
        audio=clip.audio,
        audio_start_s=clip.audio_start_s,
        rate_hz=clip.rate_hz if clip.audio is not None else 0,
        is_described=False,
    )
