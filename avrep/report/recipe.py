"""A contact sheet of exactly what a model sees: a few items, sampled, decoded and augmented.

The spectrogram of the sound that a view has stands beneath it, at the time that the sound is of; ticks
mark the frames. A view without sound has its frames' sound there, for the eye; no objective is given
that.
"""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from avrep.assemble import build_objective, training_source
from avrep.augment.video_config import VideoAugmentConfig
from avrep.config import RunConfig
from avrep.errors import MediaError
from avrep.media import shards
from avrep.media.decode import decode
from avrep.pipeline.batches import read_batch
from avrep.pipeline.example import StreamSource
from avrep.report.contact_sheet import SheetRow, SheetView, draw_contact_sheet
from avrep.training.inputs import to_inputs
from avrep.types import Audio, ClipTimes, Geometry, MediaItem

_SHOWN_RATE_HZ = 16_000


def draw_recipe(config: RunConfig, out: Path, *, num_items: int = 4, step: int = 0) -> None:
    """Write a PNG of the first items of a step, every view of each, as the encoder is given them.

    Args:
        config: a run's config.
        out: the PNG.
        num_items: how many items.
        step: which step of the run.
    """
    objective = build_objective(config)
    source = training_source(config, objective)
    batch = read_batch(source, step)
    augments = objective.augments()
    inputs = to_inputs(batch, objective, config.seed, torch.device("cpu"))
    rows: list[SheetRow] = []
    for i, (key, address) in enumerate(zip(batch.keys, batch.addresses, strict=True)):
        if i == num_items:
            break
        item = source.catalog[address.item]
        views: list[SheetView] = []
        for number, (view, augment) in enumerate(zip(inputs.views, augments, strict=True)):
            if view.video is None or augment is None:
                continue
            times_s = view.pts_s[i].numpy()
            if view.audio is None or view.audio_start_s is None:
                sound, start_s = _sound(source, item, times_s), float(times_s.min())
            else:
                sound, start_s = view.audio[i].numpy(), float(view.audio_start_s[i])
            views.append(
                SheetView(
                    name=f"view {number + 1}",
                    frames=_shown(view.video[i], augment),
                    times_s=times_s,
                    audio=sound,
                    audio_start_s=start_s,
                    rate_hz=(view.rate_hz or _SHOWN_RATE_HZ) if sound is not None else 0,
                )
            )
        rows.append(SheetRow(title=key, views=tuple(views)))
    draw_contact_sheet(rows, out)


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
