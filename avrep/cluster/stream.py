"""Steps in order from many decode actors, with a bounded number of batches in flight."""

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import cycle

import ray
from ray.actor import ActorHandle
from ray.exceptions import RayTaskError

from avrep.cluster.decode_pool import start_decode_pool, stop_decode_pool, submit
from avrep.errors import AvrepError
from avrep.pipeline.example import StreamSource
from avrep.types import Batch


@contextmanager
def ray_stream(
    source: StreamSource,
    steps: range,
    rank: int = 0,
    world_size: int = 1,
    *,
    num_actors: int = 2,
    prefetch_batches: int = 2,
) -> Iterator[Iterator[Batch]]:
    """The batches that `pipeline.batches.batches` yields, decoded by Ray actors.

    Each step goes whole to one actor; results do not depend on how many there are. Ray must be
    initialised. The actors live as long as the context.

    Args:
        source: what to read and how.
        steps: which steps, in which order.
        rank: this trainer's rank.
        world_size: number of trainers that share each step.
        num_actors: decode actors of this trainer.
        prefetch_batches: batches decoded or being decoded ahead, for each actor: the memory in
            flight is at most num_actors * prefetch_batches batches.
    """
    actors = start_decode_pool(source, num_actors)
    in_flight: deque[ray.ObjectRef] = deque()
    try:
        max_in_flight = num_actors * prefetch_batches
        yield _in_order(actors, in_flight, steps, rank, world_size, max_in_flight)
    finally:
        for batch in in_flight:
            ray.cancel(batch)
        stop_decode_pool(actors)


def _in_order(
    actors: list[ActorHandle],
    in_flight: deque[ray.ObjectRef],
    steps: range,
    rank: int,
    world_size: int,
    max_in_flight: int,
) -> Iterator[Batch]:
    upcoming = zip(steps, cycle(actors), strict=False)
    for _ in range(len(steps)):
        while len(in_flight) < max_in_flight:
            step_and_actor = next(upcoming, None)
            if step_and_actor is None:
                break
            step, actor = step_and_actor
            in_flight.append(submit(actor, step, rank, world_size))
        try:
            yield ray.get(in_flight.popleft())
        except RayTaskError as error:
            # The person sees the error as the generator without Ray would have raised it.
            cause = error.cause
            raise cause if isinstance(cause, AvrepError) else error from None
