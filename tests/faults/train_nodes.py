"""Two trainers on a Ray cluster that loses the node of one of them: run as a process.

`python train_nodes.py CONFIG RUN`. The cluster has two nodes with room for a trainer each, and its
head with none. It has a process of its own because Ray's test cluster and a process's own Ray exclude
each other.
"""

import json
import logging
import os
import sys
from pathlib import Path
from typing import Any

import ray
from ray.cluster_utils import Cluster

from avrep.cluster.train import train_on_ray
from avrep.config import load_config

_LOST_AT = 12
_STORE_BYTES = 100 * 2**20


def main(config: str, run: str) -> None:
    # A lost node is known to be lost after seconds.
    os.environ |= {"RAY_health_check_period_ms": "1000", "RAY_health_check_failure_threshold": "2"}
    cluster = Cluster(initialize_head=True, head_node_args=_node(0))
    nodes = [cluster.add_node(**_node(1)) for _ in range(2)]
    ray.init(cluster.address, log_to_driver=False, logging_level=logging.ERROR)

    def on_line(line: str) -> None:
        if len(nodes) == 2 and json.loads(line)["step"] >= _LOST_AT:
            cluster.remove_node(nodes.pop(), allow_graceful=False)

    try:
        train_on_ray(load_config(config), Path(run), on_line=on_line)
    finally:
        ray.shutdown()
        cluster.shutdown()
    assert len(nodes) == 1


def _node(num_cpus: int) -> dict[str, Any]:
    return {
        "num_cpus": num_cpus,
        "object_store_memory": _STORE_BYTES,
        "include_dashboard": False,
    }


if __name__ == "__main__":
    main(*sys.argv[1:])
