"""Measuring a run: its encoder beside the same encoder untrained, on the same decoded clips."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from avrep.assemble import build_objective, open_catalog, usable_rows, use_threads
from avrep.augment.eval_crops import crop_views
from avrep.augment.view import augment_view
from avrep.config import RunConfig
from avrep.dense_clips import crop_config, dense_spec, no_pictures, video_augments
from avrep.evaluation.action.split import GroupScope
from avrep.evaluation.aggregate import Over
from avrep.evaluation.compare import compare_scores
from avrep.evaluation.embed import Embedding, Progress, Transform, embed
from avrep.evaluation.features_table import FeatureTable
from avrep.evaluation.protocols import ProtocolConfig, score_features, score_instances
from avrep.evaluation.results import EvalRow
from avrep.evaluation.scores import VideoScores
from avrep.evaluation.tasks import TaskItems, catalog_task, split_files_task
from avrep.models.features import Encoder
from avrep.pipeline.example import StreamSource
from avrep.pipeline.plan import Sweep
from avrep.pipeline.stream import OpenStream, plain_stream
from avrep.trained import load_encoder
from avrep.training import parallel
from avrep.transfer import to_device
from avrep.types import Batch, RowNumbers

# Augmentations drawn here are not those of training.
_AUGMENTED_LANE = 1 << 16

PLAIN_INSTANCE = "video"
AUGMENTED_INSTANCE = "video, augmented"


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """Both encoders' scores on every test video of one task."""

    task: TaskItems
    pretrained: tuple[VideoScores, ...]
    untrained: tuple[VideoScores, ...]


def measure_run(
    config: RunConfig,
    run_dir: Path,
    task: TaskItems,
    *,
    protocols: ProtocolConfig,
    open_stream: OpenStream = plain_stream,
    progress: Progress | None = None,
) -> Measurement:
    """Score a run's newest encoder and the encoder that the run began with.

    Args:
        config: the run's own.
        run_dir: the run's folder.
        task: which items, split how, labelled how.
        protocols: which protocols; "instance" is measured in any case.
        open_stream: the plain stream, or Ray's.
        progress: told how many clips' items are done.
    """
    use_threads(config)
    device = parallel.pick_device(config.train.device)
    encoders = {
        "pretrained": load_encoder(run_dir).to(device),
        "untrained": load_encoder(run_dir, trained=False).to(device),
    }
    embed_rows = Embedder(config, encoders, device, open_stream, progress)
    plain = embed_rows.plain(np.concatenate([task.train, task.test]))
    augmented = embed_rows.augmented(task.test)
    scores = {
        name: (
            *_probes(task, plain, name, protocols, config.seed),
            *_instances(task, plain, name, protocols, PLAIN_INSTANCE),
            *_instances(task, augmented, name, protocols, AUGMENTED_INSTANCE),
        )
        for name in encoders
    }
    return Measurement(
        task=task,
        pretrained=_noted(scores["pretrained"], plain, _seen_note(config, task)),
        untrained=_noted(scores["untrained"], plain),
    )


def find_task(
    config: RunConfig,
    *,
    splits_dir: Path | None = None,
    fold: int = 1,
    group_scope: GroupScope = "class",
) -> TaskItems:
    """What to measure: a split given as files, or the catalogue's own labels.

    Args:
        config: names the catalogue.
        splits_dir: folder of split files, see `split_files_task`; None for the catalogue's labels.
        fold: of the split files.
        group_scope: of the split files.

    Raises:
        ConfigError: the run has no video encoder; or see `catalog_task` and `split_files_task`.
    """
    if config.video_encoder is None:
        raise no_pictures()
    catalog = open_catalog(config.data)
    if splits_dir is None:
        return catalog_task(catalog, usable_rows(catalog))
    return split_files_task(catalog, splits_dir, fold, group_scope)


def compare_measurements(
    measurements: Sequence[Measurement],
    *,
    protocols: ProtocolConfig,
    seed: int,
    over: Over = "videos",
) -> tuple[EvalRow, ...]:
    """Rows of results: of one run, or of several that differ in seed or fold.

    Args:
        measurements: of one or more runs.
        protocols: confidence and resamples.
        seed: of the first run; also decides the resamples.
        over: what several runs are.
    """
    first = measurements[0].task
    return compare_scores(
        [measured.pretrained for measured in measurements],
        [measured.untrained for measured in measurements],
        task=first.task,
        config=protocols,
        over=over,
        fold=first.fold if len(measurements) == 1 else None,
        seed=seed,
    )


class Embedder:
    """Runs both encoders over catalogue rows."""

    def __init__(
        self,
        config: RunConfig,
        encoders: Mapping[str, Encoder],
        device: torch.device,
        open_stream: OpenStream,
        progress: Progress | None,
    ) -> None:
        self._config = config
        self._catalog = open_catalog(config.data)
        self._objective = build_objective(config)
        self._encoders = encoders
        self._device = device
        self._open_stream = open_stream
        self._progress = progress
        self._crop_config = crop_config(config, self._objective)

    def plain(self, rows: RowNumbers) -> Embedding:
        """Evenly spaced clips under fixed crops, not augmented."""
        return self._embed(rows, self._config.evaluation.num_clips, self._crops)

    def augmented(self, rows: RowNumbers) -> Embedding:
        """The first and the last clip, each augmented as one of the objective's views is."""
        return self._embed(rows, 2, self._augmented)

    def _embed(self, rows: RowNumbers, num_clips: int, transform: Transform) -> Embedding:
        batch_size = self._config.evaluation.batch_size
        sweep = Sweep(seed=self._config.seed, rows=rows, batch_size=batch_size)
        source = StreamSource(
            catalog=self._catalog,
            plan=sweep,
            specs=(dense_spec(self._config, self._objective, num_clips),),
            decoder=self._config.data.decoder,
            limits=self._config.data.limits,
            storage=self._config.data.storage,
        )
        with self._open_stream(source, range(sweep.num_steps)) as stream:
            return embed(
                self._encoders, stream, transform, num_items=len(rows), progress=self._progress
            )

    def _crops(self, batch: Batch, view: int) -> tuple[torch.Tensor, ...]:
        clips = batch.views[view]
        if clips.video is None:
            raise ValueError("an item without video cannot be embedded as video")
        crops = crop_views(to_device(clips.video, self._device), clips.size_px, self._crop_config)
        return crops.unbind(dim=1)

    def _augmented(self, batch: Batch, view: int) -> tuple[torch.Tensor, ...]:
        augments = video_augments(self._objective)
        return (
            augment_view(
                batch.views[view],
                augments[min(view, len(augments) - 1)],
                batch.addresses,
                seed=self._config.seed,
                lane=_AUGMENTED_LANE + view,
                device=self._device,
            ),
        )


def _noted(
    scores: tuple[VideoScores, ...], embedding: Embedding, note: str = ""
) -> tuple[VideoScores, ...]:
    """The scores, each with a note, and saying which items are missing from it because they cannot be
    decoded.
    """
    notes = [note]
    if embedding.failures:
        first = embedding.failures[0]
        notes.append(
            f"{len(embedding.failures)} items could not be decoded, {first.key} ({first.reason})"
        )
    return tuple(
        replace(score, note="; ".join(filter(None, [score.note, *notes]))) for score in scores
    )


def _seen_note(config: RunConfig, task: TaskItems) -> str:
    """How many test videos the run was trained on, without their labels; "" where none."""
    data = config.data
    if data.keys is not None and not Path(data.keys).is_file():
        return ""
    catalog = open_catalog(data)
    trained_on = usable_rows(catalog, split=data.split, keys=data.keys)
    num_seen = int(np.isin(task.test, trained_on).sum())
    if not num_seen:
        return ""
    return f"the encoder was trained on {num_seen} of these {len(task.test)} test videos, without labels"


def _probes(
    task: TaskItems, embedding: Embedding, encoder: str, protocols: ProtocolConfig, seed: int
) -> tuple[VideoScores, ...]:
    train = _table(task, embedding, encoder, set(task.train.tolist()))
    test = _table(task, embedding, encoder, set(task.test.tolist()))
    return tuple(
        score
        for label in task.label_sets
        for score in score_features(train, test, label, config=protocols, seed=seed)
    )


def _instances(
    task: TaskItems,
    embedding: Embedding,
    encoder: str,
    protocols: ProtocolConfig,
    shown_label: str,
) -> tuple[VideoScores, ...]:
    table = _table(task, embedding, encoder, set(task.test.tolist()))
    if table.features.shape[1] < 2:
        return ()
    scores = score_instances(table, config=protocols)
    return tuple(replace(score, label=shown_label) for score in scores)


def _table(task: TaskItems, embedding: Embedding, encoder: str, rows: set[int]) -> FeatureTable:
    chosen = [i for i, row in enumerate(embedding.rows.tolist()) if row in rows]
    return task.table(
        embedding.rows[chosen].tolist(),
        [embedding.keys[i] for i in chosen],
        embedding.features[encoder][chosen],
    )
