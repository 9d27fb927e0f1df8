"""From a host batch to what an objective sees: moved as bytes, then augmented on the device."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch

from avrep import rng
from avrep.augment.video import augment_video
from avrep.augment.video_config import VideoAugmentConfig
from avrep.augment.video_params import draw_video_params
from avrep.objectives.base import BatchTensors, Objective, ViewTensors
from avrep.transfer import to_device
from avrep.types import Batch


def move_batch(batch: Batch, device: torch.device) -> BatchTensors:
    """The batch's pictures, still uint8[b t h w 3], and sounds on the device; times and lengths on the
    host, where what they decide is decided, copied. To a GPU from any thread.
    """

    def moved(array: npt.NDArray[np.generic] | None) -> torch.Tensor | None:
        return None if array is None else to_device(array, device)

    def told(array: npt.NDArray[np.generic] | None) -> torch.Tensor | None:
        # Sharing what Ray keeps read-only warns, and only one thread at a time may silence a warning.
        return None if array is None else torch.tensor(array)

    views = tuple(
        ViewTensors(
            video=moved(view.video),
            pts_s=torch.tensor(view.pts_s),
            audio=moved(view.audio),
            audio_start_s=told(view.audio_start_s),
            num_samples=told(view.num_samples),
            first_frame_s=told(view.first_frame_s),
            rate_hz=view.rate_hz,
        )
        for view in batch.views
    )
    others = {name: move_batch(other, device) for name, other in batch.others.items()}
    return BatchTensors(step=batch.step, views=views, addresses=batch.addresses, others=others)


def augment_batch(
    batch: Batch, moved: BatchTensors, objective: Objective, seed: int
) -> BatchTensors:
    """Augment each view where it is, as the objective says; each clip's draws are its address's.

    Args:
        batch: from the stream.
        moved: the same, from `move_batch`.
        objective: whose batch it is.
        seed: the run's seed.
    """
    views = augment_views(batch, moved.views, objective.augments(), seed, objective.augment_lanes())
    others = {
        name: augment_batch(batch.others[name], moved.others[name], part, seed)
        for name, part in objective.corpora().items()
    }
    return replace(moved, views=views, others=others)


def augment_views(
    batch: Batch,
    moved: Sequence[ViewTensors],
    augments: Sequence[VideoAugmentConfig | None],
    seed: int,
    lanes: Sequence[int],
) -> tuple[ViewTensors, ...]:
    """Augment each view of one corpus.

    Args:
        batch: from the stream.
        moved: its views, on the device.
        augments: one per view of the batch; None leaves a view as it is.
        seed: the run's seed.
        lanes: one per view: views of one lane have the same draws.
    """
    views: list[ViewTensors] = []
    for host, view, augment, lane in zip(batch.views, moved, augments, lanes, strict=True):
        if view.video is None or augment is None:
            views.append(view)
            continue
        rngs = [rng.at(seed, rng.Stage.AUGMENT, address, lane) for address in batch.addresses]
        params = draw_video_params(augment, host.size_px, rngs)
        views.append(replace(view, video=augment_video(view.video, params, augment)))
    return tuple(views)


def to_inputs(batch: Batch, objective: Objective, seed: int, device: torch.device) -> BatchTensors:
    """Move a batch to the device and augment each view there, in one go."""
    return augment_batch(batch, move_batch(batch, device), objective, seed)
