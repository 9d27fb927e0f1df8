"""A corpus's sound into labels: clusters of a sample, then a label for every frame.

LABELS/
    parts/            frames of the sample, while the clusters are not found
    failures.csv      rows with sound that could not be used, and why
    and the rest as `avrep.media.label_store` says
"""

import csv
import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from avrep.labelling.job import (
    LabelConfig,
    LabelJob,
    identity,
    load_features,
    plan_job,
    sampled_rows,
)
from avrep.labelling.tasks import (
    FAILURES_NOTE,
    centroids_path,
    frames_path,
    label_shard,
    rows_of_shard,
    sample_shard,
    save_array,
)
from avrep.media.catalog import Catalog
from avrep.media.claimed_folder import claim_folder, read_claim, write_claim
from avrep.media.label_store import FACTS, ROWS_PER_SHARD, read_all, read_notes, shard_path
from avrep.training.clusters import fit_clusters, perplexity
from avrep.types import RowNumbers

FAILURES = "failures.csv"
_LEAST_PERPLEXITY = 1.5
_WORDS = {"catalog_digest": "another catalogue", "num_rows": "another catalogue"}

Task = Callable[[int], int]
"""Makes one file, by its shard's number; gives how many rows it read for that."""

RunTasks = Callable[[Task, Sequence[int]], Iterable[int]]
"""Runs a task for each of some shards; gives what each gave, in any order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelSummary:
    """What a corpus's labels are like."""

    num_rows: int
    num_soundless: int
    """Rows without a sound stream."""
    num_failed: int
    """Rows whose sound could not be used."""
    num_labels: int
    num_clusters: int
    num_used: int
    """Clusters that some frame is in."""
    perplexity: float
    """See `avrep.training.clusters.perplexity`."""

    def lines(self) -> list[str]:
        """In words."""
        num_labelled = self.num_rows - self.num_soundless - self.num_failed
        told = [
            f"{self.num_labels} labels of {num_labelled} items; {self.num_used} of "
            f"{self.num_clusters} clusters used, as mixed as {self.perplexity:.1f} even ones"
        ]
        if self.perplexity < _LEAST_PERPLEXITY:
            told.append("nearly all frames are in one cluster: nothing can be learned from these")
        if self.num_soundless:
            told.append(f"{self.num_soundless} items have no sound, and no labels")
        if self.num_failed:
            told.append(f"{self.num_failed} items could not be used; why is in {FAILURES}")
        return told


def run_here(task: Task, shards: Sequence[int]) -> Iterator[int]:
    """Tasks one after another in this process."""
    for shard in shards:
        yield task(shard)


def label_corpus(
    catalog_path: Path | str,
    out: Path | str,
    config: LabelConfig | None = None,
    *,
    root: str | None = None,
    run_tasks: RunTasks = run_here,
    progress: Callable[[int, int], None] | None = None,
) -> LabelSummary:
    """Give every frame of a corpus's sound a label, in a folder that `LabelStore` opens.

    Args:
        catalog_path: what `avrep index` wrote.
        out: a folder that is new, empty, or holds an unfinished job of the same corpus and config.
        config: the defaults of `LabelConfig` when None.
        root: where the files are now, if they moved since they were indexed.
        run_tasks: here, or Ray's.
        progress: called as (rows read, rows to read in all); sampled rows are read twice.

    Raises:
        ConfigError: no such catalogue or run, no sound, too little of it for so many clusters, or
            `out` holds something else; or the run went on meanwhile and removed the checkpoint.
        ShardError: most rows of a shard cannot be read; started again, the job goes on.
    """
    config = config or LabelConfig()
    if config.run is not None:
        config = config.model_copy(update={"run": config.run.resolve()})
    catalog = Catalog.open(Path(catalog_path).resolve(), root)
    job = plan_job(catalog, Path(out).resolve(), config)
    features = load_features(job)
    wanted = identity(job, features)
    sampled = sampled_rows(job, features)
    words = {**_WORDS, "features": _unlike(read_claim(job.out, FACTS) or wanted, wanted)}
    found = claim_folder(job.out, FACTS, wanted, what="labels", words=words)
    if "summary" in found:
        return LabelSummary(**found["summary"])
    read = _Count(len(sampled) + len(catalog), progress)
    if not centroids_path(job.out).is_file():
        _find_centroids(job, sampled, run_tasks, read)
    read.all_but(len(catalog))
    missing = [shard for shard in range(job.num_shards) if not shard_path(job.out, shard).is_file()]
    read.all_but(sum(len(job.rows(shard)) for shard in missing))
    for num_rows in run_tasks(partial(label_shard, job), missing):
        read.more(num_rows)
    summary = _summary(job)
    write_claim(job.out, FACTS, {**wanted, "summary": asdict(summary)})
    return summary


def _unlike(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    """In what the features of a folder's labels are others than those that are wanted."""
    old, new = found.get("features", {}), wanted["features"]
    told = (
        f": {name} {old.get(name)} (now {value})"
        for name, value in new.items()
        if old.get(name) != value
    )
    return f"other features{next(told, '')}"


class _Count:
    """How many rows are read."""

    def __init__(self, total: int, progress: Callable[[int, int], None] | None) -> None:
        self._done, self._total, self._progress = 0, total, progress

    def more(self, num_rows: int) -> None:
        self._done += num_rows
        if self._progress:
            self._progress(self._done, self._total)

    def all_but(self, num_rows: int) -> None:
        """So many are left to read: the others were read, now or earlier."""
        self.more(self._total - num_rows - self._done)


def _find_centroids(job: LabelJob, sampled: RowNumbers, run_tasks: RunTasks, read: _Count) -> None:
    parts = frames_path(job.out, 0).parent
    parts.mkdir(exist_ok=True)
    shards = np.unique(sampled // ROWS_PER_SHARD).tolist()
    missing = [shard for shard in shards if not frames_path(job.out, shard).is_file()]
    left = sum(len(rows_of_shard(sampled, shard)) for shard in missing)
    read.all_but(left + len(job.catalog))
    for num_rows in run_tasks(partial(sample_shard, job, sampled), missing):
        read.more(num_rows)
    # In the order of the rows, whichever came first: k-means draws from them.
    frames = [np.load(frames_path(job.out, shard), allow_pickle=False) for shard in shards]
    centroids = fit_clusters(np.concatenate(frames), job.config.num_clusters, job.config.seed)
    save_array(centroids_path(job.out), centroids)
    shutil.rmtree(parts)


def _summary(job: LabelJob) -> LabelSummary:
    counts = np.zeros(job.config.num_clusters, np.int64)
    failures: list[tuple[str, str]] = []
    for shard in range(job.num_shards):
        path = shard_path(job.out, shard)
        counts += np.bincount(read_all(path), minlength=len(counts))
        failures += json.loads(read_notes(path)[FAILURES_NOTE])
    with (job.out / FAILURES).open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("key", "reason"), *failures])
    num_rows = len(job.catalog)
    return LabelSummary(
        num_rows=num_rows,
        num_soundless=num_rows - len(job.catalog.rows_with(audio=True)),
        num_failed=len(failures),
        num_labels=int(counts.sum()),
        num_clusters=len(counts),
        num_used=int((counts > 0).sum()),
        perplexity=perplexity(counts),
    )
