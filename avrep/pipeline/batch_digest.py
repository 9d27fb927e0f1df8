"""A batch's fingerprint: the same exactly when a trainer is given the same."""

import hashlib

import numpy as np
import numpy.typing as npt

from avrep.types import Batch


def batch_digest(batch: Batch) -> str:
    """Hex SHA-256 of all that a trainer is given of a batch, those of further corpora with it."""
    taken = hashlib.sha256()
    places = [(a.epoch, a.item, a.draw) for a in batch.addresses]
    taken.update(repr((batch.step, places, batch.keys)).encode())
    for view in batch.views:
        arrays = (
            *(view.video, view.size_px, view.pts_s),
            *(view.audio, view.audio_start_s, view.num_samples, view.first_frame_s),
        )
        for array in arrays:
            taken.update(_form(array).encode())
            if array is not None:
                taken.update(np.ascontiguousarray(array).data)
        taken.update(str(view.rate_hz).encode())
    for name, other in sorted(batch.others.items()):
        taken.update(f"{name} {batch_digest(other)}".encode())
    return taken.hexdigest()


def _form(array: npt.NDArray[np.generic] | None) -> str:
    return "none" if array is None else f"{array.dtype}{array.shape}"
