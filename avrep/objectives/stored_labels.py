"""A batch's labels out of a folder of labels."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from avrep.errors import ConfigError
from avrep.media.catalog import Catalog
from avrep.media.label_store import LabelStore
from avrep.models.waveform import RATE_HZ
from avrep.objectives.base import BatchTensors


class StoredLabels:
    """Gives `Hubert` the clusters of its batches; opened when first asked, by the run that trains.

    Args:
        path: what `avrep label` wrote.
        num_classes: how many clusters the objective tells apart.
        rate_hz: labels a second that the objective counts on.
    """

    def __init__(self, path: Path | str, num_classes: int, rate_hz: int) -> None:
        self._path = Path(path)
        self._num_classes = num_classes
        self._rate_hz = rate_hz
        self._store: LabelStore | None = None

    def open(self) -> LabelStore:
        """The labels on disk.

        Raises:
            ConfigError: there are none, or of another number or rate than the objective's.
        """
        if self._store is None:
            store = LabelStore.open(self._path)
            for name, found, wanted in (
                ("num_classes", store.facts.num_clusters, self._num_classes),
                ("label_rate_hz", store.facts.rate_hz, self._rate_hz),
            ):
                if found != wanted:
                    raise ConfigError(
                        f"{self._path} has {name} {found}, the config says {wanted}; "
                        f"set objective.{name}={found}"
                    )
            self._store = store
        return self._store

    def check(self, catalog: Catalog) -> None:
        """Refuse a catalogue that the labels are not of.

        Raises:
            ConfigError: saying so, or see `open`.
        """
        self.open().check(catalog)

    def __call__(self, batch: BatchTensors) -> Tensor:
        """int64[b k] at `rate_hz`, from each clip's first sample to the end of the longest clip.

        -1 wherever there is no label: past a clip's end, and in all of a clip of an item whose
        sound could not be decoded when labels were made; the loss passes over such frames.
        """
        view = batch.views[0]
        assert view.audio is not None
        assert view.audio_start_s is not None
        num_labels = -(-view.audio.shape[1] * self._rate_hz // RATE_HZ)
        starts_s = view.audio_start_s.tolist()
        store = self.open()
        rows = [
            store.crop(address.item, start_s, num_labels)
            for address, start_s in zip(batch.addresses, starts_s, strict=True)
        ]
        return torch.from_numpy(np.stack(rows))
