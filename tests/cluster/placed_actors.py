"""A Ray cluster of three nodes on this machine, and where a pool's actors go: run as a process.

`python placed_actors.py CATALOG`, of which the last line of output is a JSON object. It has a
process of its own because Ray's test cluster and a process's own Ray exclude each other.
"""

import json
import logging
import sys
from collections import Counter
from typing import Any

import ray
from ray.cluster_utils import Cluster

from avrep.cluster import decode_pool
from avrep.cluster.decode_pool import DecodePool
from avrep.media.catalog import Catalog
from avrep.pipeline.fetch import READ_AHEAD_BYTES
from tests.faults.runs import make_source
from tests.faults.victims import wait_until

SLOTS = (2, 3, 3)
"""Of the trainer's node, and of the two others."""


class Holder:
    """Somebody else's actor."""

    def is_here(self) -> bool:
        return True


def main(catalog: str) -> None:
    cluster = Cluster(initialize_head=True, head_node_args=_node(SLOTS[0]))
    others = [cluster.add_node(**_node(count)) for count in SLOTS[1:]]
    ray.init(cluster.address, log_to_driver=False, logging_level=logging.ERROR)
    nodes = [ray.get_runtime_context().get_node_id(), *(node.node_id for node in others)]
    source = make_source(Catalog.open(catalog))
    said: dict[str, list[int]] = {}
    try:
        pool = DecodePool(source, 1, READ_AHEAD_BYTES, 20)
        said["one"] = on_nodes(pool, nodes)
        pool.grow(1)
        said["as many as the trainer's node has room for"] = on_nodes(pool, nodes)
        pool.grow(4)
        said["four more"] = on_nodes(pool, nodes)
        pool.grow(4)
        wait_until(lambda: ended_growing(pool, 8), "as many as there is room for have come up")
        said["more than there is room for"] = on_nodes(pool, nodes)
        pool.stop()
        wait_until(lambda: ray.available_resources().get("CPU") == sum(SLOTS), "all have ended")
        # Ray's types know neither these options nor the methods of an actor.
        held: Any = ray.remote(num_cpus=2)(Holder)
        near = decode_pool.NodeAffinitySchedulingStrategy(nodes[0], soft=False)
        holder = held.options(scheduling_strategy=near).remote()
        ray.get(holder.is_here.remote())
        pool = DecodePool(source, 2, READ_AHEAD_BYTES)
        said["the trainer's node is taken"] = on_nodes(pool, nodes)
        pool.stop()
    finally:
        ray.shutdown()
        cluster.shutdown()
    print(json.dumps(said))


def ended_growing(pool: DecodePool, num_actors: int) -> bool:
    pool.tend()
    return len(pool) == num_actors


def on_nodes(pool: DecodePool, nodes: list[str]) -> list[int]:
    """How many of the actors each node has, when all that there is room for run."""

    def all_run() -> bool:
        pool.tend()
        pool.running(0)
        is_full = len(pool) == sum(SLOTS)
        return (is_full or not pool._coming) and all(w.where is not None for w in pool._workers)

    wait_until(all_run, "all actors run")
    counts = Counter(worker.where.node_id for worker in pool._workers if worker.where)
    return [counts[node] for node in nodes]


def _node(num_cpus: int) -> dict[str, Any]:
    return {
        "num_cpus": num_cpus,
        "object_store_memory": 100 * 2**20,
        "include_dashboard": False,
    }


if __name__ == "__main__":
    main(*sys.argv[1:])
