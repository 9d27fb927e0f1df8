"""Labelling a corpus as two Ray Data passes: frames of the sample, then every row's labels.

No sound passes through Ray: a task reads a shard's rows, writes one file and gives back a number.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import torch

from avrep.cluster.data_job import Row, run_data_job
from avrep.labelling.corpus import LabelSummary, Task, label_corpus
from avrep.labelling.job import LabelConfig


def label_on_ray(
    catalog_path: Path | str,
    out: Path | str,
    config: LabelConfig | None = None,
    *,
    root: str | None = None,
    num_workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> LabelSummary:
    """`label_corpus` on all of the cluster's cores; Ray must be initialised.

    On several nodes, the source, the run and `out` must be the same for all of them: a shared file
    system for `out`.

    Args:
        catalog_path: what `avrep index` wrote.
        out: see `label_corpus`.
        config: the defaults of `LabelConfig` when None.
        root: see `label_corpus`.
        num_workers: shards at a time, each on one core; as many as Ray has CPU slots when None.
        progress: called as (rows read, rows to read in all).

    Raises:
        ConfigError: see `label_corpus`.
        ShardError: see `label_corpus`.
    """
    run_tasks = partial(_run_tasks, num_workers=num_workers)
    return label_corpus(
        catalog_path, out, config, root=root, run_tasks=run_tasks, progress=progress
    )


def _run_tasks(task: Task, shards: Sequence[int], *, num_workers: int | None) -> Iterator[int]:
    tasks: list[Row] = [{"shard": shard} for shard in shards]
    for row in run_data_job(partial(_work, task), tasks, num_workers):
        yield row["num_rows"]


def _work(task: Task, row: Row) -> Row:
    # Ray gives it one core.
    torch.set_num_threads(1)
    return {"num_rows": task(int(row["shard"]))}
