"""What is labelled, with what features, and which rows the clusters are found on."""

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from avrep import rng
from avrep.assemble import build_objective
from avrep.errors import ConfigError
from avrep.frozen import FrozenConfig
from avrep.media.catalog import Catalog
from avrep.media.label_store import ROWS_PER_SHARD, LabelFacts
from avrep.models.frame_features import FrameFeatures, layer_features, mfcc_features
from avrep.models.waveform import Waveform
from avrep.trained import latest_checkpoint, read_run_config
from avrep.training.checkpoint import load_checkpoint, weights_sha256
from avrep.training.checkpoint_store import Checkpoint
from avrep.types import Address, RowNumbers

_FRAMES_PER_CLUSTER = 1000
_SAMPLE_BYTES = 2**31


class LabelConfig(FrozenConfig):
    """What is clustered, and into how many."""

    num_clusters: int = Field(default=100, ge=2, le=2**16)
    """HuBERT: 100 of MFCCs, 500 of a layer."""
    run: Path | None = None
    """The run whose encoder gives the features; None: MFCCs."""
    layer: int = Field(default=6, ge=0)
    """Of that encoder; HuBERT's second iteration takes the sixth."""
    standardise: bool = False
    """Bring an item's features to mean 0 and variance 1 over its frames first: of MFCCs, cepstral
    mean and variance normalisation. Clusters then tell less of the voice, the microphone and the
    loudness, which few speakers can otherwise be told apart by. Published HuBERT does not."""
    sample_share: float = Field(default=0.1, gt=0, le=1)
    """Of the rows, for the clusters: HuBERT's tenth. More of a small corpus, for 1,000 frames a
    cluster; fewer of a large one, for at most 2 GiB of frames (both avrep defaults)."""
    seed: int = Field(default=0, ge=0, lt=2**32)
    """Of the sample and of k-means."""


@dataclass(frozen=True, slots=True)
class Weights:
    """The very weights that features are of: a run that still trains has newer ones by and by."""

    checkpoint: Checkpoint
    sha256: str
    """See `weights_sha256`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelJob:
    """All that a task needs to know; it travels to another process as it is."""

    catalog: Catalog
    out: Path
    config: LabelConfig
    weights: Weights | None = None
    """Of `config.run`, for all tasks the same; None where the features are MFCCs."""

    @property
    def num_shards(self) -> int:
        return -(-len(self.catalog) // ROWS_PER_SHARD)

    def rows(self, shard: int) -> RowNumbers:
        """The catalogue's rows whose labels a shard holds."""
        first = shard * ROWS_PER_SHARD
        return np.arange(first, min(first + ROWS_PER_SHARD, len(self.catalog)), dtype=np.int64)


def plan_job(catalog: Catalog, out: Path, config: LabelConfig) -> LabelJob:
    """A job on the run's newest weights, if it is of a run.

    Raises:
        ConfigError: no such run, or it has no checkpoint.
        ShardError: the store that has its checkpoints cannot be asked.
    """
    if config.run is None:
        return LabelJob(catalog=catalog, out=out, config=config)
    checkpoint = latest_checkpoint(config.run)
    weights = Weights(checkpoint, weights_sha256(checkpoint))
    return LabelJob(catalog=catalog, out=out, config=config, weights=weights)


def load_features(job: LabelJob) -> FrameFeatures:
    """What a job clusters, computed on the CPU.

    Raises:
        ConfigError: the run has no waveform encoder, or that has no such layer; or the weights that
            the job was planned with are gone, or others by now.
        ShardError: the store that has them cannot be read.
    """
    config = job.config
    if config.run is None:
        return replace(mfcc_features(), is_standardised=config.standardise)
    assert job.weights is not None
    objective = build_objective(read_run_config(config.run))
    encoder = objective.encoders().get("audio")
    if not isinstance(encoder, Waveform):
        raise ConfigError(f"{config.run} trained no encoder of waveforms; name a run of HuBERT")
    if config.layer > encoder.num_layers:
        raise ConfigError(
            f"layer {config.layer}: the encoder of {config.run} has layers 1 to "
            f"{encoder.num_layers}, and 0 for their input"
        )
    _require_there(job.weights)
    load_checkpoint(job.weights.checkpoint, objective)
    return replace(layer_features(encoder, config.layer), is_standardised=config.standardise)


def _require_there(weights: Weights) -> None:
    checkpoint = weights.checkpoint
    if checkpoint not in checkpoint.store.checkpoints():
        raise ConfigError(
            f"{checkpoint}, which the labels are of, is gone: the run went on and keeps its newest "
            "alone; label into a new folder when it has ended, or give it more "
            "train.keep_checkpoints"
        )
    if weights_sha256(checkpoint) != weights.sha256:
        raise ConfigError(
            f"{checkpoint} has other weights than when its labels were begun; label into a new folder"
        )


def identity(job: LabelJob, features: FrameFeatures) -> dict[str, Any]:
    """What decides every label, as `labels.json` says it."""
    config = job.config
    facts = LabelFacts(
        catalog_digest=job.catalog.digest,
        num_rows=len(job.catalog),
        num_clusters=config.num_clusters,
        rate_hz=features.rate_hz,
        seed=config.seed,
        features={
            **_source(job),
            "standardise": config.standardise,
            "sample_share": config.sample_share,
        },
    )
    return asdict(facts)


def sampled_rows(job: LabelJob, features: FrameFeatures) -> RowNumbers:
    """Rows, ascending, that the clusters are found on: a function of the corpus and the config.

    Raises:
        ConfigError: the corpus has no sound.
    """
    rows = job.catalog.rows_with(audio=True)
    if len(rows) == 0:
        raise ConfigError(f"{job.catalog.path} has no item with sound; there is nothing to label")
    durations_s = job.catalog.table(["duration_s"])["duration_s"].to_numpy()[rows]
    # Raw words of the generator: NumPy promises these for good, its permutations it does not.
    words = rng.at(job.config.seed, rng.Stage.PLAN, Address(0, 0)).bit_generator
    order = np.argsort(words.random_raw(len(rows)), kind="stable")
    frames = np.cumsum(durations_s[order] * features.rate_hz)
    enough = np.searchsorted(frames, _FRAMES_PER_CLUSTER * job.config.num_clusters) + 1
    most = np.searchsorted(frames, _SAMPLE_BYTES / (4 * features.width))
    num_rows = min(max(np.ceil(job.config.sample_share * len(rows)), enough), max(most, 1))
    return np.sort(rows[order[: int(num_rows)]])


def _source(job: LabelJob) -> dict[str, Any]:
    if job.weights is None or job.config.run is None:
        return {"kind": "mfcc"}
    return {
        "kind": "layer",
        "layer": job.config.layer,
        "run": job.config.run.name,
        "checkpoint": job.weights.checkpoint.name,
        "weights_sha256": job.weights.sha256,
    }
