"""What is embedded, by which encoder, in which parts."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from avrep.assemble import usable_rows
from avrep.config import RunConfig
from avrep.embedding.form import ClipForm, Kind, pick_kind, run_form
from avrep.embedding.store import FeatureFacts
from avrep.environment import package_versions
from avrep.errors import ConfigError
from avrep.frozen import FrozenConfig
from avrep.media.catalog import Catalog
from avrep.media.decode import DecoderName
from avrep.media.limits import DecodeLimits
from avrep.media.storage import StorageConfig
from avrep.models.features import Encoder
from avrep.models.weights_digest import weights_digest
from avrep.sampling.windows import SpacingConfig
from avrep.trained import load_encoder, read_run_config
from avrep.types import RowNumbers

# So that a small corpus too has parts for many workers, and a large one not too many files.
_NUM_PARTS = 64
_LEAST_CLIPS, _MOST_CLIPS = 64, 1024


class EmbedConfig(FrozenConfig):
    """Which clips, found where, by which encoder of the run."""

    kind: Kind | None = None
    """None: of pictures, where the run has such an encoder."""
    spacing: SpacingConfig = SpacingConfig(num_clips=4)
    """Which clips of each item."""
    root: str | None = None
    """Where the items' files are now, if they moved since they were indexed. None: where the run has
    them, if it was trained on this catalogue."""
    batch_size: int = Field(default=32, ge=1, le=4096)
    """Clips that go through the encoder together."""
    clips_per_part: int | None = Field(default=None, ge=1)
    """About how many clips a part of the result holds: what is lost at most when a worker dies.
    None: a sixty-fourth of all, but at least 64 and at most 1,024."""


@dataclass(frozen=True, kw_only=True)
class EmbedJob:
    """All that a worker needs to know; it travels to another process as it is."""

    catalog: Catalog
    rows: RowNumbers = field(repr=False)
    """The catalogue's rows that have the stream, ascending."""
    root: str | None
    """Where its items' files are, if not where the catalogue says."""
    first: RowNumbers = field(repr=False)
    """Place in `rows` at which each part begins, and after all of them the end."""
    out: Path
    run: Path
    config: EmbedConfig
    facts: FeatureFacts
    form: ClipForm
    decoder: DecoderName
    limits: DecodeLimits
    storage: StorageConfig
    made_with: Mapping[str, Any] = field(repr=False)
    """The run's config and the versions, for each part's metadata."""

    @property
    def num_parts(self) -> int:
        return len(self.first) - 1

    def rows_of(self, part: int) -> RowNumbers:
        return self.rows[self.first[part] : self.first[part + 1]]

    @cached_property
    def identity(self) -> dict[str, Any]:
        """What decides every vector and which part it is in, as `features.json` says it."""
        return {
            **asdict(self.facts),
            "num_rows": len(self.rows),
            "num_parts": self.num_parts,
            "clips_per_part": self.config.clips_per_part,
        }


def plan_job(
    run_dir: Path | str, catalog_path: Path | str, out: Path | str, config: EmbedConfig
) -> EmbedJob:
    """Find out what there is to do.

    Raises:
        ConfigError: no such run, checkpoint, encoder or catalogue, or no item of it has the stream.
    """
    run = Path(run_dir).resolve()
    run_config = read_run_config(run)
    path = Path(catalog_path).resolve()
    root = _root(path, config, run_config)
    catalog = Catalog.open(path, root)
    kind = pick_kind(run_config, config.kind)
    form = run_form(run_config, kind)
    encoder = load_encoder(run, kind)
    facts = FeatureFacts(
        kind=kind,
        width=encoder.width,
        encoder_digest=weights_digest(encoder),
        catalog_digest=catalog.digest,
        spacing=config.spacing.model_dump(mode="json"),
        form=form.facts(),
        batch_size=config.batch_size,
    )
    rows = usable_rows(catalog, video=kind == "video", audio=kind == "audio")
    return EmbedJob(
        catalog=catalog,
        rows=rows,
        root=root,
        first=_parts(catalog, rows, form, config),
        out=Path(out).resolve(),
        run=run,
        config=config,
        facts=facts,
        form=form,
        decoder=run_config.data.decoder,
        limits=run_config.data.limits,
        storage=run_config.data.storage,
        made_with=_made_with(run_config),
    )


def load_job_encoder(job: EmbedJob) -> Encoder:
    """The encoder that the job was planned with, in evaluation mode, on the CPU.

    Raises:
        ConfigError: the run has other weights by now.
    """
    encoder = load_encoder(job.run, job.facts.kind)
    require_same_weights(encoder, job.facts, job.run, job.out)
    return encoder


def require_same_weights(encoder: Encoder, facts: FeatureFacts, run: Path, out: Path) -> None:
    """Refuse an encoder that other features were not made by.

    Raises:
        ConfigError: saying so.
    """
    if weights_digest(encoder) != facts.encoder_digest:
        raise ConfigError(
            f"the newest weights of {run} are not those that the features in {out} are of; "
            "embed into a new folder: avrep embed RUN CORPUS -o FOLDER"
        )


def _root(catalog_path: Path, config: EmbedConfig, run_config: RunConfig) -> str | None:
    """Where a person says that files are, or else the run, of a catalogue that it was trained on."""
    if config.root is not None:
        return config.root if "://" in config.root else str(Path(config.root).resolve())
    trained_on = (run_config.data, *run_config.corpora.values())
    return next(
        (each.root for each in trained_on if Path(each.catalog).resolve() == catalog_path), None
    )


def _parts(catalog: Catalog, rows: RowNumbers, form: ClipForm, config: EmbedConfig) -> RowNumbers:
    """Parts of about as many clips, cut between items, by what the catalogue says they last."""
    durations_s = catalog.table(["duration_s"])["duration_s"].to_numpy()[rows]
    num_clips = [config.spacing.expected(length_s, form.clip_s) for length_s in durations_s]
    before = np.concatenate([[0], np.cumsum(num_clips)[:-1]])
    share = min(max(sum(num_clips) // _NUM_PARTS, _LEAST_CLIPS), _MOST_CLIPS)
    cuts = np.flatnonzero(np.diff(before // (config.clips_per_part or share))) + 1
    return np.concatenate([[0], cuts, [len(rows)]]).astype(np.int64)


def _made_with(config: RunConfig) -> dict[str, Any]:
    return {"run_config": config.model_dump(mode="json"), "versions": package_versions()}
