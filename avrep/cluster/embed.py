"""Embedding a corpus as a Ray Data pass: actors that hold the encoder, each on a GPU if there are any.

No clip passes through Ray: an actor decodes a part's items in processes of its own, writes one file
and gives back two numbers.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

import ray

from avrep.cluster.data_job import Actors, Row, run_actor_job
from avrep.embedding.corpus import EmbedSummary, embed_corpus
from avrep.embedding.job import EmbedConfig, EmbedJob
from avrep.embedding.part import PartDone, PartMaker


def embed_on_ray(
    run: Path | str,
    catalog_path: Path | str,
    out: Path | str,
    config: EmbedConfig | None = None,
    *,
    num_workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> EmbedSummary:
    """`embed_corpus` on all of the cluster; Ray must be initialised.

    On several nodes, the source, the run and `out` must be the same for all of them: a shared file
    system for the run and for `out`.

    Args:
        run: see `embed_corpus`.
        catalog_path: see `embed_corpus`.
        out: see `embed_corpus`.
        config: the defaults of `EmbedConfig` when None.
        num_workers: parts at a time, at most; as many as Ray has GPUs, or without any, CPU slots,
            when None.
        progress: called as (items done, items in all).

    Raises:
        ConfigError: see `embed_corpus`.
        ShardError: see `embed_corpus`.
    """
    run_parts = partial(_run_parts, num_workers=num_workers)
    return embed_corpus(run, catalog_path, out, config, run_parts=run_parts, progress=progress)


def plan_actors(nodes: Sequence[Row], num_workers: int | None, num_parts: int) -> Actors:
    """How many actors, and what of the cluster each has.

    With GPUs, each actor has one and its share of its node's cores, which decode for it: of the node
    where that share is least. Without, each has one core.

    Args:
        nodes: as `ray.nodes()` gives them.
        num_workers: no more actors than this; None: as many as there is room for.
        num_parts: no more actors than this either.
    """
    resources = [node["Resources"] for node in nodes if node["Alive"]]
    with_gpus = [(int(r["GPU"]), int(r.get("CPU", 1))) for r in resources if r.get("GPU", 0) >= 1]
    if with_gpus:
        num = sum(num_gpus for num_gpus, _ in with_gpus)
        num_cpus = max(1, min(num_cpus // num_gpus for num_gpus, num_cpus in with_gpus))
        return Actors(num=min(num_workers or num, num, num_parts), num_cpus=num_cpus, num_gpus=1)
    num = max(1, sum(int(r.get("CPU", 0)) for r in resources))
    return Actors(num=min(num_workers or num, num, num_parts))


def _run_parts(
    job: EmbedJob, parts: Sequence[int], *, num_workers: int | None
) -> Iterator[PartDone]:
    actors = plan_actors(ray.nodes(), num_workers, len(parts))
    device = "cuda" if actors.num_gpus else "cpu"
    start = partial(_start, job, device, actors.num_cpus)
    tasks: list[Row] = [{"part": part} for part in parts]
    for row in run_actor_job(start, tasks, actors):
        yield PartDone(**row)


def _start(job: EmbedJob, device: str, num_decoders: int) -> Callable[[Row], Row]:
    # Never left: the actor's end is that of the processes that decode for it.
    maker = PartMaker(job, device, num_decoders).__enter__()

    def make(task: Row) -> Row:
        return asdict(maker(int(task["part"])))

    return make
