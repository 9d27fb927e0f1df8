"""Joining a Ray cluster, or starting a small one on this machine."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

import ray

_LOCAL_STORE_BYTES = 512 * 2**20


@contextmanager
def ray_session(num_decode_actors: int) -> Iterator[None]:
    """Use the Ray that is there (RAY_ADDRESS, or an earlier `ray.init`), else start one here.

    A Ray started here is stopped at the end; one that was there is left as it was.

    Args:
        num_decode_actors: a Ray started here offers at least this many CPU slots, even on fewer
            cores: a decode actor waits for the trainer most of the time.
    """
    if ray.is_initialized():
        yield
        return
    if os.environ.get("RAY_ADDRESS"):
        ray.init(log_to_driver=False)
    else:
        ray.init(
            num_cpus=max(os.cpu_count() or 1, num_decode_actors + 1),
            include_dashboard=False,
            object_store_memory=_LOCAL_STORE_BYTES,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    try:
        yield
    finally:
        ray.shutdown()
