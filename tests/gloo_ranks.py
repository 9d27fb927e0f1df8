"""Ranks of one process group, each a process on the CPU, and what each of them found."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch.multiprocessing.spawn import spawn

OfRank = Callable[[int, int], dict[str, Any]]
"""(rank, number of ranks) -> tensors, numbers and words by name; a function of a module."""


def results_of_ranks(of_rank: OfRank, num_ranks: int, folder: Path) -> list[dict[str, Any]]:
    """What `of_rank` gives on each rank of a group, in the order of ranks.

    Args:
        of_rank: called within the group.
        num_ranks: so many processes are started.
        folder: where they meet and write; empty.
    """
    spawn(_rank_main, args=(of_rank, num_ranks, str(folder)), nprocs=num_ranks)
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(num_ranks)]


def _rank_main(rank: int, of_rank: OfRank, num_ranks: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=num_ranks
    )
    torch.save(of_rank(rank, num_ranks), f"{folder}/{rank}.pt")
    dist.destroy_process_group()
