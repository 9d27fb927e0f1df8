"""Clips through an encoder in batches whose composition is a function of the clips alone."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from avrep.models.features import Encoder

Vector = npt.NDArray[np.float32]
TakeVector = Callable[[int, Vector | str], None]
"""(the clip's number, its vector or why it has none)."""


class Batcher:
    """Collects inputs and runs the encoder on `batch_size` of one shape at a time.

    Clips of unlike length never share a batch, so a vector does not depend on any padding; which do
    share one depends on the order in which they are added, and on nothing else.

    Args:
        encoder: in evaluation mode.
        batch_size: clips in a batch.
        take: called with each clip's vector, float32[d]: the mean over its crops.
    """

    def __init__(self, encoder: Encoder, batch_size: int, take: TakeVector) -> None:
        self._encoder = encoder
        self._batch_size = batch_size
        self._take = take
        self._waiting: dict[torch.Size, list[tuple[int, Tensor]]] = {}

    def add(self, clip: int, crops: Tensor) -> None:
        """Take a clip in.

        Args:
            clip: its number.
            crops: float32[v ...]: what the encoder takes, without its first axis, of each crop.
        """
        waiting = self._waiting.setdefault(crops.shape, [])
        waiting.append((clip, crops))
        if len(waiting) == self._batch_size:
            self._run(self._waiting.pop(crops.shape))

    def finish(self) -> None:
        """Run what is left."""
        for shape in list(self._waiting):
            self._run(self._waiting.pop(shape))

    @torch.inference_mode()
    def _run(self, waiting: list[tuple[int, Tensor]]) -> None:
        batch = torch.stack([crops for _, crops in waiting])
        try:
            of_crops = [self._encoder(crop).pooled.float() for crop in batch.unbind(1)]
        except ValueError as error:
            # An encoder's own words for sound that is too short for it.
            for clip, _ in waiting:
                self._take(clip, str(error))
            return
        pooled = torch.stack(of_crops).mean(dim=0).cpu().numpy()
        for (clip, _), vector in zip(waiting, pooled, strict=True):
            finite = bool(np.isfinite(vector).all())
            self._take(clip, vector if finite else "the encoder gave numbers that are not finite")
