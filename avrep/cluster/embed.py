"""Embedding a corpus as a Ray Data pass: actors that hold the encoder, each on a GPU if there are any.

No clip passes through Ray: an actor decodes a part's items in processes of its own, writes one file
and gives back two numbers.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

import ray

from avrep.cluster.data_job import Actors, Row, run_actor_job
from avrep.cluster.gpus import Gpus, registered_gpus, takes_gpus, wait_notice
from avrep.cluster.session import this_node
from avrep.embedding.corpus import EmbedSummary, embed_corpus
from avrep.embedding.job import EmbedConfig, EmbedJob
from avrep.embedding.part import PartDone, PartMaker
from avrep.errors import ConfigError
from avrep.training.parallel import DeviceName

_log = logging.getLogger(__name__)


def embed_on_ray(
    run: Path | str,
    catalog_path: Path | str,
    out: Path | str,
    config: EmbedConfig | None = None,
    *,
    num_workers: int | None = None,
    device: DeviceName = "auto",
    can_grow: bool = True,
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
        num_workers: parts at a time; as many as Ray has GPUs now, or without any, CPU slots, when
            None.
        device: "auto": each actor has a GPU if Ray has any now; "cuda": each has one, which may still
            have to come.
        can_grow: whether nodes may still come; what is not there yet is waited for then.
        progress: called as (items done, items in all).

    Raises:
        ConfigError: see `embed_corpus`; or there are fewer GPUs than actors, and none will come; or
            `device` is "cuda", Ray has no GPU yet, and `num_workers` is None.
        ShardError: see `embed_corpus`.
    """
    if notice := check_gpus(registered_gpus(can_grow=can_grow), num_workers, device):
        _log.warning(notice)
    run_parts = partial(_run_parts, num_workers=num_workers, device=device)
    return embed_corpus(run, catalog_path, out, config, run_parts=run_parts, progress=progress)


def check_gpus(found: Gpus, num_workers: int | None, device: DeviceName) -> str | None:
    """What to tell before actors wait for GPUs; None where none has to.

    Raises:
        ConfigError: they would wait for ever; or nobody says how many are to wait.
    """
    if not takes_gpus(device, found.num):
        return None
    asked = f"--workers {num_workers}" if num_workers else f"--device {device}"
    mend = "lower it, or take --device cpu" if num_workers else "take --device cpu"
    notice = wait_notice(num_workers or max(1, found.num), found, asked=asked, mend=mend)
    if not num_workers and not found.num:
        raise ConfigError(
            "--device cuda: the cluster has no GPU yet; say with --workers how many to wait for"
        )
    return notice


def plan_actors(
    nodes: Sequence[Row], num_workers: int | None, num_parts: int, device: DeviceName = "auto"
) -> Actors:
    """How many actors, and what of the cluster each has.

    With GPUs, each actor has one and a share of its node's cores: that of the node where it is least,
    or one core where no node with GPUs is there yet. Without, each has one core.

    Args:
        nodes: as `ray.nodes()` gives them.
        num_workers: so many actors, whether there is room for them yet or not; None: as many as there
            is room for.
        num_parts: no more actors than this in any case.
        device: see `embed_on_ray`.
    """
    resources = [node["Resources"] for node in nodes if node["Alive"]]
    with_gpus = [each for each in resources if each.get("GPU", 0) >= 1]
    num_gpus = sum(int(each["GPU"]) for each in with_gpus)
    if takes_gpus(device, num_gpus):
        num_cpus = min(map(_cores_of_a_gpu, with_gpus), default=1)
        num = num_workers or max(1, num_gpus)
        return Actors(num=min(num, num_parts), num_cpus=num_cpus, num_gpus=1)
    num_slots = max(1, sum(int(each.get("CPU", 0)) for each in resources))
    return Actors(num=min(num_workers or num_slots, num_parts))


def _cores_of_a_gpu(resources: Row) -> int:
    """A GPU's share of its node's cores, which decode for it."""
    return max(1, int(resources.get("CPU", 1)) // int(resources["GPU"]))


def _run_parts(
    job: EmbedJob,
    parts: Sequence[int],
    *,
    num_workers: int | None,
    device: DeviceName,
) -> Iterator[PartDone]:
    actors = plan_actors(ray.nodes(), num_workers, len(parts), device)
    start = partial(_start, job, "cuda" if actors.num_gpus else "cpu")
    tasks: list[Row] = [{"part": part} for part in parts]
    for row in run_actor_job(start, tasks, actors):
        yield PartDone(**row)


def _start(job: EmbedJob, device: DeviceName) -> Callable[[Row], Row]:
    # Of the node that it came to, which may have come later than the plan.
    num_decoders = _cores_of_a_gpu(this_node()["Resources"]) if device == "cuda" else 1
    # Never left: the actor's end is that of the processes that decode for it.
    maker = PartMaker(job, device, num_decoders).__enter__()

    def make(task: Row) -> Row:
        return asdict(maker(int(task["part"])))

    return make
