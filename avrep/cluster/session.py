"""Joining a Ray cluster, or starting a small one on this machine."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import ray

from avrep.errors import ConfigError
from avrep.pipeline.stream import PREFETCH_BYTES

# Beside the clips made ahead: the batch in the trainer's hands, and what Ray itself puts there.
_STORE_MARGIN_BYTES = 2**28


@contextmanager
def ray_session(num_decode_actors: int, prefetch_bytes: int = PREFETCH_BYTES) -> Iterator[bool]:
    """Use the Ray that is there (RAY_ADDRESS, or an earlier `ray.init`), else start one here.

    A Ray started here is stopped at the end; one that was there is left as it was.

    Args:
        num_decode_actors: a Ray started here offers at least this many CPU slots, even on fewer
            cores: a decode actor waits for the trainer most of the time.
        prefetch_bytes: what streams will hold; a Ray started here has room for it, so that nothing
            is spilled to disk.

    Yields:
        Whether it can grow: one that was started here never has more than this machine.
    """
    if ray.is_initialized():
        yield True
        return
    can_grow = bool(os.environ.get("RAY_ADDRESS"))
    if can_grow:
        ray.init(log_to_driver=False)
    else:
        ray.init(
            # Never some other Ray that happens to run on this machine.
            address="local",
            num_cpus=max(os.cpu_count() or 1, num_decode_actors + 1),
            include_dashboard=False,
            object_store_memory=2 * prefetch_bytes + _STORE_MARGIN_BYTES,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    try:
        yield can_grow
    finally:
        ray.shutdown()


def this_node() -> dict[str, Any]:
    """What Ray knows of the node that this process runs on."""
    here = ray.get_runtime_context().get_node_id()
    return next(node for node in ray.nodes() if node["NodeID"] == here)


def check_store(prefetch_bytes: int) -> None:
    """Refuse a budget that this node's object store has no room for: Ray would spill to disk.

    Raises:
        ConfigError: says how large the store is.
    """
    store_bytes = int(this_node()["Resources"].get("object_store_memory", 0))
    if prefetch_bytes > store_bytes:
        raise ConfigError(
            f"data.prefetch_bytes={prefetch_bytes} is more than Ray's object store on this node "
            f"holds, {store_bytes}; lower it, or start Ray with a larger --object-store-memory"
        )
