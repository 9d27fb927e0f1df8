"""kNN on a run's frozen video features while it trains: is what it learns worth something?"""

import copy
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import torch

from avrep.assemble import open_catalog, usable_rows
from avrep.augment.eval_crops import crop_views
from avrep.config import RunConfig
from avrep.dense_clips import crop_config, dense_spec, no_pictures
from avrep.errors import ConfigError
from avrep.evaluation.embed import embed
from avrep.evaluation.features_table import Vectors
from avrep.evaluation.knn import KnnConfig, knn_predict
from avrep.evaluation.tasks import TaskItems, catalog_task
from avrep.objectives.base import Objective
from avrep.pipeline.example import StreamSource
from avrep.pipeline.plan import Sweep
from avrep.pipeline.stream import OpenStream
from avrep.training.fsdp import gathered
from avrep.transfer import to_device
from avrep.types import Batch, RowNumbers


class OnlineProbe:
    """Measures the encoder that evaluators would get now, and leaves the training as it is: a teacher
    where that is what a method's results are of (`Objective.evaluated`), so that the checkpoint which
    is kept as the best by it is the best of what is handed out.

    Neighbours are the catalogue's train videos, asked are its held-out ones (`catalog_task`), each
    by one clip from its middle under a central crop. The clips are decoded once, when it is made,
    and stay in memory as bytes. All ranks measure the same, so that none runs an encoder alone
    whose weights are shared out.

    Args:
        config: the run's.
        objective: in training; on `device`.
        device: where it trains.
        open_stream: how the run's streams are opened; this one is closed before they are.

    Raises:
        ConfigError: the run has no video encoder, or the catalogue no labels to ask for.
    """

    def __init__(
        self,
        config: RunConfig,
        objective: Objective,
        device: torch.device,
        open_stream: OpenStream,
    ) -> None:
        self._every_steps = config.train.probe_every_steps
        if self._every_steps is None:
            return
        evaluated = objective.evaluated()
        if "video" not in evaluated:
            raise no_pictures()
        self._objective = objective
        self._encoder = evaluated["video"]
        self._device = device
        self._crop_config = crop_config(config, objective)
        catalog = open_catalog(config.data)
        self._task = catalog_task(catalog, usable_rows(catalog))
        if not self._task.label_sets:
            raise ConfigError(
                f"train.probe_every_steps: {catalog.path} has no labels that kNN can be asked for "
                "(avrep inspect shows them); leave it away"
            )
        rows = _some_rows(self._task, config.train.probe_items)
        sweep = Sweep(seed=config.seed, rows=rows, batch_size=config.evaluation.batch_size)
        source = StreamSource(
            catalog=catalog,
            plan=sweep,
            specs=(dense_spec(config, objective, num_clips=1),),
            decoder=config.data.decoder,
            limits=config.data.limits,
            storage=config.data.storage,
        )
        with open_stream(source, range(sweep.num_steps)) as stream:
            # A copy, so that nothing stays in the object store.
            self._batches = [copy.deepcopy(batch) for batch in stream]

    def measure(self, step: int) -> dict[str, float]:
        """Top-1 accuracy on the held-out videos, by label set: {"probe_knn_class": 0.42}.

        Args:
            step: steps done.

        Returns:
            Nothing at steps that are not to be measured.
        """
        if self._every_steps is None or step % self._every_steps:
            return {}
        num_items = sum(len(batch.keys) for batch in self._batches)
        with gathered(self._objective):
            embedding = embed(
                {"video": self._encoder}, iter(self._batches), self._crops, num_items=num_items
            )
        rows = embedding.rows.tolist()
        vectors = self._task.table(rows, embedding.keys, embedding.features["video"]).vectors()
        is_train = np.isin(embedding.rows, self._task.train)
        return {
            f"probe_knn_{label}": _top1(vectors, is_train, [class_of[row] for row in rows])
            for label, class_of in self._task.label_sets.items()
        }

    def _crops(self, batch: Batch, view: int) -> tuple[torch.Tensor, ...]:
        clips = batch.views[view]
        assert clips.video is not None
        crops = crop_views(to_device(clips.video, self._device), clips.size_px, self._crop_config)
        return crops.unbind(dim=1)


def _top1(vectors: Vectors, is_train: npt.NDArray[np.bool_], classes: list[str]) -> float:
    named = np.asarray(classes, np.str_)
    predicted = knn_predict(
        vectors[is_train], named[is_train].tolist(), vectors[~is_train], KnnConfig()
    )
    return float((predicted == named[~is_train]).mean())


def _some_rows(task: TaskItems, num_items: int) -> RowNumbers:
    """So many rows at most, of train and test and of each class the same share."""
    classes = next(iter(task.label_sets.values()))
    share = min(1.0, num_items / (len(task.train) + len(task.test)))
    chosen = [_evenly(rows, share, classes) for rows in (task.train, task.test)]
    return np.sort(np.concatenate(chosen))


def _evenly(rows: RowNumbers, share: float, classes: Mapping[int, str]) -> RowNumbers:
    by_class = np.array(sorted(rows.tolist(), key=lambda row: (classes[row], row)), np.int64)
    num_rows = max(1, int(share * len(rows)))
    return by_class[np.arange(num_rows) * len(rows) // num_rows]
