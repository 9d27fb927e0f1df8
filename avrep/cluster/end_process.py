"""Ending an actor's process for certain: Ray asks the process itself, which may be frozen."""

import os
import socket
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import psutil
import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy


@dataclass(frozen=True, slots=True, kw_only=True)
class Whereabouts:
    """Where a process of Ray's runs."""

    host: str
    node_id: str
    """Ray's."""
    pid: int
    created_s: float
    """Since 1970; with it a process cannot be mistaken for a later one of the same number."""


def whereabouts() -> Whereabouts:
    """Of this process, which is one of Ray's."""
    return Whereabouts(
        host=socket.gethostname(),
        node_id=ray.get_runtime_context().get_node_id(),
        pid=os.getpid(),
        created_s=psutil.Process().create_time(),
    )


def end_process(where: Whereabouts) -> None:
    """SIGKILL, which a process cannot refuse. One that is gone, with its node even, is left be."""
    if where.node_id == ray.get_runtime_context().get_node_id():
        _kill(where)
        return
    # Ray's types know neither the options of a task nor its `remote`.
    kill: Any = ray.remote(num_cpus=0, max_retries=0)(_kill)
    there = NodeAffinitySchedulingStrategy(where.node_id, soft=False)
    kill.options(scheduling_strategy=there).remote(where)


def _kill(where: Whereabouts) -> None:
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(where.pid)
        if process.create_time() == where.created_s:
            process.kill()
