"""As many of the trainers that Ray gives as can share every batch evenly; the others wait.

With `train.min_workers` Ray starts as many trainers as there is room for, which need not divide the
batch: seven, where eight had two clips each. Then four train. The spare ones end at once, and Ray
starts all of them again when the cluster has room for more.
"""

import socket
from datetime import timedelta

import ray.util
import torch.distributed as dist

from avrep.config import RunConfig

COLLECTIVE_WITHIN_S = 1800
"""How long ranks wait for one another: one may wait for a decode actor, and that for a new node."""


def visits_of_corpora(config: RunConfig) -> list[int]:
    """How many items a step reads of each corpus; ranks share them evenly."""
    corpora = [config.data, *map(config.corpus, config.corpora)]
    sizes = [config.train.batch_size, *(each.batch_size for each in config.corpora.values())]
    return [size // corpus.draws_per_visit for size, corpus in zip(sizes, corpora, strict=True)]


def num_even_ranks(visits: list[int], num_given: int) -> int:
    """The greatest number of ranks, of those given, that divides all of these."""
    return next(number for number in range(num_given, 0, -1) if not any(n % number for n in visits))


def keep_even_ranks(num_used: int) -> bool:
    """Make the first ranks a group of their own; whether this one belongs to it.

    All ranks of the group that `torch.distributed` has must call.
    """
    rank = dist.get_rank()
    if num_used == dist.get_world_size():
        return True
    backend = dist.get_backend()
    place: list[str | None] = [None]
    if rank == 0:
        with socket.socket() as free:
            free.bind(("", 0))
            place = [f"tcp://{ray.util.get_node_ip_address()}:{free.getsockname()[1]}"]
    dist.broadcast_object_list(place)
    dist.destroy_process_group()
    if rank >= num_used:
        return False
    dist.init_process_group(
        backend,
        init_method=place[0],
        rank=rank,
        world_size=num_used,
        timeout=timedelta(seconds=COLLECTIVE_WITHIN_S),
    )
    return True
