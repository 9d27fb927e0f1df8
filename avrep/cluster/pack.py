"""A corpus into shards: a Ray Data job in which each task writes one shard and gives back one row.

Media never passes through Ray. Whatever is killed, the job started again makes the shards that are
missing, and no other; see `avrep.media.pack_shard`.
"""

import csv
import io
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, astuple, dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from avrep.cluster.data_job import run_data_job
from avrep.errors import ConfigError
from avrep.media.catalog import Catalog, write_catalog
from avrep.media.index import Reject
from avrep.media.pack_plan import PackConfig, ShardPlan, identity, plan_shards
from avrep.media.pack_shard import (
    PARTS,
    ROOT,
    UNFINISHED,
    ShardFacts,
    pack_shard,
    read_facts,
)
from avrep.media.put_in_place import put_in_place
from avrep.media.train_coding import require_encoders
from avrep.types import MediaItem

CATALOG = "corpus.parquet"
REJECTS = "rejects.csv"
_CLAIM = "pack.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class PackSummary:
    """What a finished pack holds; items and rejects together are the items of the source."""

    num_shards: int
    num_items: int
    num_rejects: int
    num_bytes: int
    """Of the media, without the tars around it."""
    num_bad_packets: int
    """Damaged packets of sources that were passed over."""
    num_lost_frames: int
    """Frames of sources that could not be decoded."""


def pack_corpus(
    catalog_path: Path | str,
    out: Path | str,
    config: PackConfig | None = None,
    *,
    root: str | None = None,
    num_workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> PackSummary:
    """Write OUT/shard-NNNNNN.tar in WebDataset's layout, OUT/corpus.parquet and OUT/rejects.csv.

    Ray must be initialised. On several nodes, the source and `out` must be the same for all of
    them: a shared file system for `out`.

    Args:
        catalog_path: of the source.
        out: a folder that is new, empty, or holds an unfinished pack of the same source and config.
        config: how; the defaults of `PackConfig` when None.
        root: where the source's files are now, if they moved since it was indexed.
        num_workers: shards made at a time, each on one core; as many as Ray has CPU slots when None.
        progress: called as (items done, items in all) after each shard.

    Raises:
        ConfigError: no such catalogue, an empty one, or `out` holds something else.
        ShardError: most of a shard's items cannot be read, or a shard cannot be written; started
            again, the pack goes on.
        OSError: the catalogue or the rejects cannot be written.
    """
    config = config or PackConfig()
    if config.mode == "transcode":
        require_encoders()
    catalog, out = Catalog.open(catalog_path, root), Path(out)
    summary = _claim(out, identity(catalog, config))
    if summary is None:
        plan = plan_shards(catalog, config)
        _clear_unfinished(out)
        for num_done in _make_missing(catalog, plan, out, config, num_workers):
            if progress:
                progress(num_done, len(catalog))
        summary = _finish(out, len(plan), identity(catalog, config))
    shutil.rmtree(out / PARTS, ignore_errors=True)
    return summary


def _claim(out: Path, wanted: dict[str, object]) -> PackSummary | None:
    """Make the folder ours; the summary where it holds this pack finished."""
    if out.exists() and not out.is_dir():
        raise ConfigError(f"{out} is a file; name a folder for the pack")
    out.mkdir(parents=True, exist_ok=True)
    claim = out / _CLAIM
    if not claim.is_file():
        if any(not left.name.startswith(UNFINISHED) for left in out.iterdir()):
            raise ConfigError(f"{out} is not empty and holds no pack; name a new folder")
        _write_text(claim, json.dumps(wanted, indent=2))
    found: dict[str, Any] = json.loads(claim.read_text(encoding="utf-8"))
    for name, value in wanted.items():
        if found.get(name) != value:
            raise ConfigError(f"{out} holds {_difference(name, found, wanted)}; name a new folder")
    (out / PARTS).mkdir(exist_ok=True)
    return PackSummary(**found["summary"]) if "summary" in found else None


def _difference(name: str, found: dict[str, Any], wanted: dict[str, Any]) -> str:
    if name != "config":
        return "a pack of another source" if name != "version" else "a pack of another version"
    old, new = found.get("config", {}), wanted["config"]
    changed = [f"{k}={old.get(k)}, not {new[k]}" for k in new if old.get(k) != new[k]]
    return f"a pack with {'; '.join(changed)}"


def _clear_unfinished(out: Path) -> None:
    for left in out.glob(f"{UNFINISHED}*"):
        if left.is_dir():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.unlink(missing_ok=True)


def _make_missing(
    catalog: Catalog, plan: ShardPlan, out: Path, config: PackConfig, num_workers: int | None
) -> Iterator[int]:
    """Make the shards that are not there; after each, how many items are done in all."""
    facts = [read_facts(out, shard) for shard in range(len(plan))]
    missing = [
        {"shard": shard, "rows": plan.rows(shard)} for shard, known in enumerate(facts) if not known
    ]
    num_done = len(catalog) - sum(len(task["rows"]) for task in missing)
    yield num_done
    make = partial(_task, catalog=catalog, out=out.absolute(), config=config)
    for row in run_data_job(make, missing, num_workers):
        num_done += row["num_rows"]
        yield num_done


def _task(
    task: dict[str, Any], *, catalog: Catalog, out: Path, config: PackConfig
) -> dict[str, Any]:
    pack_shard(catalog, np.asarray(task["rows"]), int(task["shard"]), out, config)
    return {"num_rows": len(task["rows"])}


def _finish(out: Path, num_shards: int, claim: dict[str, object]) -> PackSummary:
    """Put the parts together; the claim with its summary in it marks the pack as finished."""
    facts = [_facts(out, shard) for shard in range(num_shards)]
    write_catalog(out / f"{UNFINISHED}{CATALOG}", _all_items(out, num_shards), ROOT)
    put_in_place(out / f"{UNFINISHED}{CATALOG}", out / CATALOG)
    rejects = sorted((r for part in facts for r in part.rejects), key=lambda reject: reject.key)
    _write_rejects(out / REJECTS, rejects)
    summary = PackSummary(
        num_shards=num_shards,
        num_items=sum(part.num_items for part in facts),
        num_rejects=len(rejects),
        num_bytes=sum(part.num_bytes for part in facts),
        num_bad_packets=sum(part.num_bad_packets for part in facts),
        num_lost_frames=sum(part.num_lost_frames for part in facts),
    )
    _write_text(out / _CLAIM, json.dumps({**claim, "summary": asdict(summary)}, indent=2))
    return summary


def _facts(out: Path, shard: int) -> ShardFacts:
    facts = read_facts(out, shard)
    if facts is None:
        raise ConfigError(f"{out} lost shard {shard} while it was packed; start the pack again")
    return facts


def _all_items(out: Path, num_shards: int) -> Iterator[MediaItem]:
    for shard in range(num_shards):
        yield from Catalog.open(out / PARTS / f"{shard:06d}.parquet")


def _write_rejects(path: Path, rejects: Sequence[Reject]) -> None:
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow([field.name for field in fields(Reject)])
    writer.writerows(astuple(reject) for reject in rejects)
    _write_text(path, text.getvalue())


def _write_text(path: Path, text: str) -> None:
    made = path.with_name(f"{UNFINISHED}{path.name}")
    with made.open("w", encoding="utf-8", newline="") as file:
        file.write(text)
    put_in_place(made, path)
