"""Rows of a contact sheet from a batch: some of its items, every view, as the model is given them.

The spectrogram of the sound that a view has stands beneath it, at the time that the sound is of;
ticks mark the frames. A view without sound has its frames' sound there, for the eye; the caption says
that the method is not given that.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from avrep.augment.video_config import VideoAugmentConfig
from avrep.errors import MediaError
from avrep.media import shards
from avrep.media.decode import decode
from avrep.objectives.base import BatchTensors, Objective, ViewTensors
from avrep.pipeline.example import StreamSource
from avrep.report.contact_sheet import SheetRow, SheetView
from avrep.types import Audio, Batch, ClipTimes, Geometry, MediaItem

_SHOWN_RATE_HZ = 16_000


def batch_rows(
    batch: Batch,
    inputs: BatchTensors,
    objective: Objective,
    source: StreamSource,
    rows: Sequence[int],
) -> list[SheetRow]:
    """What a contact sheet shows of some rows of one corpus's batch.

    Args:
        batch: from the stream.
        inputs: the same, augmented, on any device.
        objective: what looks at this corpus.
        source: what the stream is made from.
        rows: which rows, in the order of the sheet.
    """
    return [
        SheetRow(
            title=batch.keys[row],
            views=tuple(
                _view(view, augment, row, f"view {number + 1}", source, batch)
                for number, (view, augment) in enumerate(
                    zip(inputs.views, objective.augments(), strict=True)
                )
            ),
        )
        for row in rows
    ]


def _view(
    view: ViewTensors,
    augment: VideoAugmentConfig | None,
    row: int,
    name: str,
    source: StreamSource,
    batch: Batch,
) -> SheetView:
    frames = None
    times_s = np.zeros(0, np.float64)
    if view.video is not None and augment is not None:
        frames = _shown(view.video[row].float().cpu(), augment)
        times_s = view.pts_s[row].cpu().numpy()
    is_heard = True
    if view.audio is not None and view.audio_start_s is not None:
        sound, start_s = view.audio[row].cpu().numpy(), float(view.audio_start_s[row])
    elif len(times_s):
        is_heard = False
        item = source.catalog[batch.addresses[row].item]
        sound, start_s = _sound(source, item, times_s), float(times_s.min())
    else:
        sound, start_s = None, 0.0
    return SheetView(
        name=name,
        frames=frames,
        times_s=times_s,
        audio=sound,
        audio_start_s=start_s,
        is_heard=is_heard,
        rate_hz=(view.rate_hz or _SHOWN_RATE_HZ) if sound is not None else 0,
    )


def _shown(clip: torch.Tensor, augment: VideoAugmentConfig) -> npt.NDArray[np.float32]:
    """float[3 t h w] in [0, 1]: the model's input with its normalisation undone."""
    mean = torch.tensor(augment.mean).view(3, 1, 1, 1)
    std = torch.tensor(augment.std).view(3, 1, 1, 1)
    return (clip * std + mean).clamp(0, 1).numpy()


def _sound(source: StreamSource, item: MediaItem, times_s: npt.NDArray[np.float64]) -> Audio | None:
    if item.audio is None or item.video is None:
        return None
    end_s = float(times_s.max()) + 1 / item.video.fps
    wanted = ClipTimes(frames_s=np.zeros(0), audio_s=(float(times_s.min()), end_s))
    data = shards.fetch(item, source.catalog.root)
    try:
        geometry = Geometry(rate_hz=_SHOWN_RATE_HZ)
        return decode(data, wanted, geometry, limits=source.limits).audio
    except MediaError:
        # The picture is what is trained on; a broken sound track is not this sheet's business.
        return None
    finally:
        if not isinstance(data, bytes):
            data.close()
