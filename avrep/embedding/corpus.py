"""A corpus into features: claim the folder, make the parts that are missing, say what came of it."""

import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from avrep.embedding.job import EmbedConfig, EmbedJob, plan_job
from avrep.embedding.part import PartDone, PartMaker
from avrep.embedding.store import FACTS, num_rows, part_path, parts_folder, read_notes
from avrep.media.claimed_folder import claim_folder, write_claim
from avrep.pipeline.quarantine import QuarantineWriter, release
from avrep.training.parallel import DeviceName
from avrep.types import Address, Failure

RunParts = Callable[[EmbedJob, Sequence[int]], Iterable[PartDone]]
"""Makes some parts of a job; gives what came of each, in any order."""

_WORDS = {
    "catalog_digest": "another catalogue",
    "encoder_digest": "another encoder, or of other weights of it",
    "kind": "the other encoder",
    "spacing": "other clips",
    "form": "clips of another form",
    "width": "another encoder",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbedSummary:
    """What a finished folder of features holds, and what it took."""

    num_items: int
    """Items that have rows."""
    num_clips: int
    num_failed: int
    """Items that could not be used."""
    num_without: int
    """Items of the catalogue that have no such stream."""
    width: int
    num_made: int = 0
    """Clips embedded by this call; the others were there."""
    made_s: float = 0.0

    def line(self) -> str:
        """In words."""
        told = [
            f"{_items(self.num_items)}: {self.num_clips:,} clips of {self.width} numbers",
            f"{_items(self.num_failed)} failed",
        ]
        if self.num_without:
            told.append(f"{_items(self.num_without)} without such a stream")
        if self.num_made:
            told.append(f"{self.num_made / self.made_s:.1f} clips/s")
        return "; ".join(told)


def embed_corpus(
    run: Path | str,
    catalog_path: Path | str,
    out: Path | str,
    config: EmbedConfig | None = None,
    *,
    run_parts: RunParts | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> EmbedSummary:
    """Give every clip of a corpus a vector, in a folder that `FeatureStore` opens.

    The parts are the same bytes whoever makes them, in whatever order, on as many workers, killed in
    between or not, on one kind of processor and one set of versions. A part that is deleted is made
    again, and what failed in it tried again.

    Args:
        run: the run's folder; its newest checkpoint counts.
        catalog_path: what `avrep index` wrote; any catalogue.
        out: a folder that is new, empty, or holds an unfinished job of the same.
        config: the defaults of `EmbedConfig` when None.
        run_parts: who makes parts; this process, on a GPU if there is one, when None.
        progress: called as (items done, items in all).

    Raises:
        ConfigError: no such run, encoder or catalogue, or `out` holds something else.
        ShardError: most items of a part cannot be read; started again, the job goes on.
        OSError: a part cannot be written.
    """
    job = plan_job(run, catalog_path, out, config or EmbedConfig())
    found = claim_folder(job.out, FACTS, job.identity, what="features", words=_WORDS)
    where = {"run": str(job.run), "catalog": str(job.catalog.path), "root": job.root}
    missing = [part for part in range(job.num_parts) if not part_path(job.out, part).is_file()]
    if "summary" in found and not missing:
        write_claim(job.out, FACTS, {**found, **where})
        return EmbedSummary(**found["summary"])
    if found.pop("summary", None):
        # Of parts that are made again now; killed after the last of them, it would stand for these.
        write_claim(job.out, FACTS, {**found, **where})
    num_done = len(job.rows) - sum(len(job.rows_of(part)) for part in missing)
    num_made, began_s = 0, time.perf_counter()
    if progress:
        progress(num_done, len(job.rows))
    for done in (run_parts or make_here)(job, missing) if missing else ():
        num_done += done.num_items
        num_made += done.num_clips
        if progress:
            progress(num_done, len(job.rows))
    made_s = time.perf_counter() - began_s
    summary = _finish(job)
    write_claim(job.out, FACTS, {**found, **where, "summary": asdict(summary)})
    return EmbedSummary(**{**asdict(summary), "num_made": num_made, "made_s": made_s})


def make_here(
    job: EmbedJob, parts: Sequence[int], *, device: DeviceName = "auto"
) -> Iterator[PartDone]:
    """Parts one after another, the encoder in this process.

    Raises:
        ConfigError: see `pick_device`.
    """
    # On the CPU the encoder itself keeps a core busy.
    num_decoders = max(1, (os.cpu_count() or 1) - 1)
    with PartMaker(job, device, num_decoders) as make:
        for part in parts:
            yield make(part)


def _finish(job: EmbedJob) -> EmbedSummary:
    """Sum the parts up, and list what failed in them."""
    for left in parts_folder(job.out).glob("*.partial"):
        left.unlink(missing_ok=True)
    release(job.out)
    quarantine = QuarantineWriter(job.out, 0)
    num_clips = num_failed = 0
    for part in range(job.num_parts):
        path = part_path(job.out, part)
        num_clips += num_rows(path)
        failures = [
            Failure(**{**fields, "address": Address(**fields["address"])})
            for fields in read_notes(path).failures
        ]
        quarantine.add(part, failures)
        num_failed += len(failures)
    return EmbedSummary(
        num_items=len(job.rows) - num_failed,
        num_clips=num_clips,
        num_failed=num_failed,
        num_without=len(job.catalog) - len(job.rows),
        width=job.facts.width,
    )


def _items(count: int) -> str:
    return f"{count:,} item{'' if count == 1 else 's'}"
