"""Two trainers on a Ray cluster that loses the node of one of them, and gets another: run as a process.

`python train_nodes.py CONFIG RUN`. The cluster has two nodes with room for a trainer each, and its
head with none. It has a process of its own because Ray's test cluster and a process's own Ray exclude
each other.
"""

import json
import logging
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Queue
from typing import Any

import ray
from ray.cluster_utils import Cluster

from avrep.cluster import train
from avrep.config import load_config

_LOST_AT = 12
_ANOTHER_AT = 40
_STORE_BYTES = 100 * 2**20


def main(config: str, run: str) -> None:
    # A lost node is known to be lost after seconds.
    os.environ |= {"RAY_health_check_period_ms": "1000", "RAY_health_check_failure_threshold": "2"}
    cluster = Cluster(initialize_head=True, head_node_args=_node(0))
    nodes = [cluster.add_node(**_node(1)) for _ in range(2)]
    ray.init(cluster.address, log_to_driver=False, logging_level=logging.ERROR)

    # Room is looked for once a minute otherwise.
    train.RESIZE_EVERY_S = 5.0
    changes = [
        (_LOST_AT, lambda: cluster.remove_node(nodes.pop(), allow_graceful=False)),
        (_ANOTHER_AT, lambda: nodes.append(cluster.add_node(**_node(1)))),
    ]
    steps: Queue[int | None] = Queue()
    try:
        # Nodes come and go from this thread, as Ray has it.
        with ThreadPoolExecutor(1) as pool:
            training = pool.submit(
                train.train_on_ray,
                load_config(config),
                Path(run),
                on_line=lambda line: steps.put(json.loads(line)["step"]),
            )
            training.add_done_callback(lambda _: steps.put(None))
            for step in iter(steps.get, None):
                if changes and step >= changes[0][0]:
                    _, change = changes.pop(0)
                    change()
        training.result()
    finally:
        ray.shutdown()
        cluster.shutdown()
    assert not changes


def _node(num_cpus: int) -> dict[str, Any]:
    return {
        "num_cpus": num_cpus,
        "object_store_memory": _STORE_BYTES,
        "include_dashboard": False,
    }


if __name__ == "__main__":
    main(*sys.argv[1:])
