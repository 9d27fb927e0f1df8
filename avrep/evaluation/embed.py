"""Frozen features of a stream of clips, by several encoders at once: each clip is decoded once."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import numpy.typing as npt
import torch

from avrep.errors import ConfigError
from avrep.models.features import Encoder
from avrep.types import Batch, Failure

Transform = Callable[[Batch, int], tuple[torch.Tensor, ...]]
"""(batch, number of a view) -> the crops of that view, each float[b 3 t h w] on the device."""

Progress = Callable[[int, int], None]
"""Called with (items done, items in all)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Embedding:
    """Pooled features of n items. Row i of every field is the same item."""

    keys: tuple[str, ...]
    rows: Annotated[npt.NDArray[np.int64], "n"]
    """Catalogue rows."""
    features: Mapping[str, Annotated[npt.NDArray[np.float32], "n v d"]]
    """By encoder: one vector for each view and crop, views slowest."""
    failures: tuple[Failure, ...]
    """Items that could not be decoded; they have no row."""


@torch.inference_mode()
def embed(
    encoders: Mapping[str, Encoder],
    stream: Iterator[Batch],
    transform: Transform,
    *,
    num_items: int,
    progress: Progress | None = None,
) -> Embedding:
    """Run every encoder, in evaluation mode, on every view and crop of every item.

    Args:
        encoders: by name, on the transform's device.
        stream: batches of a `Sweep`.
        transform: from a batch's view to what the encoders take.
        num_items: items that the stream goes through, for the progress.
        progress: told how far it is.

    Raises:
        ConfigError: not one item could be decoded.
    """
    training = {name: encoder.training for name, encoder in encoders.items()}
    for encoder in encoders.values():
        encoder.eval()
    parts: dict[str, list[npt.NDArray[np.float32]]] = {name: [] for name in encoders}
    keys: list[str] = []
    rows: list[int] = []
    failures: list[Failure] = []
    for batch in stream:
        failures += batch.failures
        keys += batch.keys
        rows += [address.item for address in batch.addresses]
        crops = [crop for i in range(len(batch.views)) for crop in transform(batch, i)]
        for name, encoder in encoders.items():
            if crops:
                pooled = [encoder(crop).pooled.float().cpu().numpy() for crop in crops]
                parts[name].append(np.stack(pooled, axis=1))
        if progress:
            progress(len(keys) + len(failures), num_items)
    for name, encoder in encoders.items():
        encoder.train(training[name])
    if not keys:
        reason = f"; {failures[0].key}: {failures[0].reason}" if failures else ""
        raise ConfigError(f"none of {num_items} items could be decoded{reason}")
    return Embedding(
        keys=tuple(keys),
        rows=np.array(rows, np.int64),
        features={name: np.concatenate(arrays) for name, arrays in parts.items()},
        failures=tuple(failures),
    )
