"""From a configuration to the things that it describes."""

import hashlib
import os
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch

from avrep.config import DataConfig, RunConfig
from avrep.errors import ConfigError
from avrep.media.catalog import Catalog
from avrep.methods import build_encoder, build_on
from avrep.objectives.base import Objective
from avrep.pipeline.example import StreamSource
from avrep.pipeline.plan import Plan
from avrep.sampling.spec import least_item_s, wants_audio, wants_video
from avrep.training.checkpoint_store import CheckpointStore
from avrep.types import RowNumbers

MAIN_CORPUS = "data"
"""Name of the corpus that every run has, by its key in the config."""


def build_objective(config: RunConfig) -> Objective:
    """The objective on freshly initialised encoders, frozen if `start` says so: the same weights for
    the same seed.
    """
    wanted = {"video": config.video_encoder, "audio": config.audio_encoder}
    encoders = {
        kind: build_encoder(encoder, config.seed)
        for kind, encoder in wanted.items()
        if encoder is not None
    }
    objective = build_on(config.objective, encoders, config.seed)
    idle = encoders.keys() - objective.encoders().keys()
    if idle:
        raise ConfigError(
            f"{config.objective.kind} does not train the {idle.pop()} encoder; take it out of the "
            "config, or add an objective that does"
        )
    if config.start is not None and config.start.frozen:
        for encoder in encoders.values():
            encoder.freeze()
    return objective


def open_catalog(config: DataConfig) -> Catalog:
    return Catalog.open(config.catalog, config.root)


def usable_rows(
    catalog: Catalog,
    *,
    video: bool = True,
    audio: bool = False,
    least_s: float = 0.0,
    split: str | None = None,
    keys: str | None = None,
) -> RowNumbers:
    """The rows that have the streams that are wanted and pass the filters.

    Args:
        catalog: whose rows.
        video: they must have pictures.
        audio: they must have sound.
        least_s: they must last this long.
        split: the label `split` must have this value.
        keys: path of a text file; an item's key must be a line of it.

    Raises:
        ConfigError: no row is left, or the file lists a key that the catalogue lacks.
    """
    rows = catalog.rows_with(video=video, audio=audio)
    if least_s > 0:
        rows = rows[catalog.table(["duration_s"])["duration_s"].to_numpy()[rows] >= least_s]
    if split is not None:
        labels = catalog.table(["labels"])["labels"]
        lookup = pc.MapLookupOptions(pa.scalar("split"), "first")
        found = pc.call_function("map_lookup", [labels], lookup)
        rows = rows[np.asarray(found.to_numpy(zero_copy_only=False) == split)[rows]]
    if keys is not None:
        rows = np.intersect1d(rows, _listed_rows(catalog, Path(keys)))
    if len(rows) == 0:
        wanted = f" of at least {least_s:g} s" if least_s > 0 else ""
        wanted += "" if split is None else f" with label split={split}"
        wanted += "" if keys is None else f" among the keys of {keys}"
        streams = " and ".join(
            name for name, is_wanted in (("video", video), ("sound", audio)) if is_wanted
        )
        raise ConfigError(f"{catalog.path} has no item with {streams}{wanted}; see avrep inspect")
    return rows


def training_source(config: RunConfig, objective: Objective) -> StreamSource:
    """What the stream of the run's `data` is made from."""
    return _source(config.data, config.train.batch_size, config.seed, objective)


def training_sources(config: RunConfig, objective: Objective) -> dict[str, StreamSource]:
    """What the streams of all corpora are made from, by name; `data` is the first."""
    sources = {MAIN_CORPUS: training_source(config, objective)}
    for name, part in objective.corpora().items():
        # Of its own, so that corpora of one length do not come in one order.
        seed = config.seed + zlib.crc32(name.encode())
        batch_size = config.corpora[name].batch_size
        sources[name] = _source(config.corpus(name), batch_size, seed, part)
    return sources


def check_catalogs(objective: Objective, sources: Mapping[str, StreamSource]) -> None:
    """Refuse, with a ConfigError, corpora that lack what the objective needs beside them."""
    objective.check_catalog(sources[MAIN_CORPUS].catalog)
    for name, part in objective.corpora().items():
        part.check_catalog(sources[name].catalog)


def corpus_folder(run_dir: Path, name: str) -> Path:
    """Where a run writes down what it read of a corpus: ledger, quarantine, health."""
    return run_dir if name == MAIN_CORPUS else run_dir / "corpora" / name


def checkpoint_store(config: RunConfig, run_dir: Path) -> CheckpointStore:
    """Where a run's checkpoints lie."""
    url = config.train.checkpoint_store or str(run_dir / "checkpoints")
    return CheckpointStore(url.rstrip("/"), config.data.storage)


def _source(data: DataConfig, batch_size: int, seed: int, objective: Objective) -> StreamSource:
    catalog = open_catalog(data)
    specs = objective.view_specs()
    rows = usable_rows(
        catalog,
        video=any(wants_video(spec) for spec in specs),
        audio=any(wants_audio(spec) for spec in specs),
        least_s=max(least_item_s(spec) for spec in specs),
        split=data.split,
        keys=data.keys,
    )
    plan = Plan(
        seed=seed,
        rows=rows,
        global_batch=batch_size,
        draws_per_visit=data.draws_per_visit,
        shuffle=data.shuffle,
    )
    return StreamSource(
        catalog=catalog,
        plan=plan,
        specs=specs,
        decoder=data.decoder,
        limits=data.limits,
        storage=data.storage,
    )


def use_threads(config: RunConfig) -> None:
    """Give torch the threads that the config asks for, or the cores that decode actors leave.

    A thread that shares its core with a decode actor holds up all the others.
    """
    num_cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    free = max(1, (num_cores or 1) - config.data.most_decode_actors)
    torch.set_num_threads(config.train.num_threads or free)


def data_digest(sources: Iterable[StreamSource]) -> str:
    """Hex SHA-256 of what a run reads: the catalogues' rows and which of them are used."""
    digest = hashlib.sha256()
    for source in sources:
        digest.update(source.catalog.digest.encode())
        digest.update(source.plan.rows.astype("<i8").tobytes())
    return digest.hexdigest()


def _listed_rows(catalog: Catalog, path: Path) -> RowNumbers:
    if not path.is_file():
        raise ConfigError(f"data.keys: no file at {path}")
    row_of = {key: row for row, key in enumerate(catalog.keys())}
    listed = [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    unknown = [key for key in listed if key not in row_of]
    if unknown:
        raise ConfigError(
            f"{path} lists {len(unknown)} keys that {catalog.path} lacks, {unknown[0]!r} for one"
        )
    return np.array([row_of[key] for key in listed], np.int64)
