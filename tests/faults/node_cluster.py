"""A Ray cluster of several nodes on this machine, one of which goes away: run as a process.

`python node_cluster.py CATALOG SCENARIO`, of which the last line of output is a JSON object. It
has a process of its own because Ray's test cluster and a process's own Ray exclude each other.
"""

import json
import logging
import os
import signal
import sys
from typing import Any

import ray
from ray.cluster_utils import Cluster

from avrep.cluster.stream import ray_stream
from avrep.media.catalog import Catalog
from avrep.media.limits import DecodeLimits
from avrep.pipeline.example import StreamSource
from tests.faults.runs import digest, make_source
from tests.faults.victims import are_up, decoders, wait_until, wait_until_gone

NUM_STEPS = 40
_LOSS_AT = 6
_STORE_BYTES = 100 * 2**20


def main(catalog: str, scenario: str) -> None:
    """Scenarios: "whole" loses nothing, "removed" and "raylet" a node with half the decode actors.

    In "few" the node that is left has room for one of the three actors; in "frozen" the node stays
    and its actors are stopped, so that they do nothing that they are asked for.
    """
    # The trainer's node has no slot for an actor, so all of them are elsewhere.
    cluster = Cluster(initialize_head=True, head_node_args=_node(0))
    num_actors = 3 if scenario == "few" else 2
    slots = (1, 2) if scenario == "few" else (2, 1) if scenario == "whole" else (2, 2)
    nodes = [cluster.add_node(**_node(count)) for count in slots]
    ray.init(cluster.address, log_to_driver=False, logging_level=logging.ERROR)
    received: list[str] = []
    failures: list[str] = []
    on_nodes: list[int] = []
    frozen: list[int] = []
    try:
        source = scenario_source(Catalog.open(catalog), scenario)
        with ray_stream(
            source, range(NUM_STEPS), num_actors=num_actors, prefetch_bytes=_STORE_BYTES // 4
        ) as stream:
            for batch in stream:
                received.append(digest(batch))
                failures.extend(failure.reason for failure in batch.failures)
                if batch.step == _LOSS_AT:
                    # On a busy machine some may still be starting.
                    wait_until(lambda: are_up(num_actors), "all actors run")
                    on_nodes = [len(decoders(raylet_pid(node))) for node in nodes]
                    lost = max(range(len(nodes)), key=on_nodes.__getitem__)
                    frozen = lose(cluster, nodes[lost], scenario)
            wait_until_gone(frozen)
            num_left = len(decoders())
    finally:
        ray.shutdown()
        cluster.shutdown()
    said = {"digests": received, "failures": failures, "on_nodes": on_nodes, "num_left": num_left}
    print(json.dumps(said))


def scenario_source(catalog: Catalog, scenario: str) -> StreamSource:
    """What the stream is made of."""
    if scenario == "frozen":
        # As many visits as an actor was asked for are the patience that it is shown: one a step.
        return make_source(catalog, global_batch=1, limits=DecodeLimits(deadline_s=5.0))
    return make_source(catalog)


def lose(cluster: Cluster, node: Any, scenario: str) -> list[int]:
    """Do to a node what the scenario says; process ids that must be gone in the end."""
    if scenario in ("removed", "few"):
        cluster.remove_node(node, allow_graceful=False)
    elif scenario == "raylet":
        os.kill(raylet_pid(node), signal.SIGKILL)
    elif scenario == "frozen":
        frozen = decoders(raylet_pid(node))
        for pid in frozen:
            os.kill(pid, signal.SIGSTOP)
        return frozen
    return []


def raylet_pid(node: Any) -> int:
    return node.all_processes["raylet"][0].process.pid


def _node(num_cpus: int) -> dict[str, Any]:
    return {
        "num_cpus": num_cpus,
        "object_store_memory": _STORE_BYTES,
        "include_dashboard": False,
    }


if __name__ == "__main__":
    main(*sys.argv[1:])
