"""Decode actors: the body of each is the plain generator's own `read_batch`.

An actor holds no state but where the corpus is, so it can be killed and replaced at any moment;
its module imports no torch, so a replacement is there in a fraction of a second.
"""

from typing import Any

import ray
from ray.actor import ActorHandle

from avrep.pipeline.batches import read_batch
from avrep.pipeline.example import StreamSource
from avrep.types import Batch


class DecodeWorker:
    """Makes any batch of a run on demand."""

    def __init__(self, source: StreamSource) -> None:
        self._source = source

    def read(self, step: int, rank: int, world_size: int) -> Batch:
        return read_batch(self._source, step, rank, world_size)


def start_decode_pool(source: StreamSource, num_actors: int) -> list[ActorHandle]:
    """Start the actors; each takes one CPU slot and is restarted, and its calls redone, if it dies.

    Media that kills its decoder at every try is given up on after a few restarts.
    """
    # Ray's types know neither these options nor the methods of an actor.
    actor_class: Any = ray.remote(num_cpus=1, max_restarts=-1, max_task_retries=3)(DecodeWorker)
    return [actor_class.remote(source) for _ in range(num_actors)]


def submit(actor: ActorHandle, step: int, rank: int, world_size: int) -> ray.ObjectRef:
    """Ask an actor for a batch."""
    return actor.read.remote(step, rank, world_size)


def stop_decode_pool(actors: list[ActorHandle]) -> None:
    """Let each actor finish what it is decoding, then end."""
    for actor in actors:
        actor.__ray_terminate__.options(max_task_retries=0).remote()
