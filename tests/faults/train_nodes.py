"""Several trainers on a Ray cluster whose nodes go and come: run as a process.

`python train_nodes.py CONFIG RUN`. The cluster has three nodes with room for a trainer each, and its
head with none; two of the three are lost one after the other, and one comes back. It has a process of
its own because Ray's test cluster and a process's own Ray exclude each other.
"""

import json
import logging
import sys
from pathlib import Path
from typing import Any

import ray
from ray.cluster_utils import Cluster

from avrep.cluster import train
from avrep.config import load_config

_STORE_BYTES = 100 * 2**20
LOST_AT = (12, 60)
BACK_AT = 90


def main(config: str, run: str) -> None:
    cluster = Cluster(initialize_head=True, head_node_args=_node(0))
    nodes = [cluster.add_node(**_node(1)) for _ in range(3)]
    ray.init(cluster.address, log_to_driver=False, logging_level=logging.ERROR)
    train.RESIZE_EVERY_S = 1.0
    due = [*LOST_AT, BACK_AT]

    def on_line(line: str) -> None:
        if due and json.loads(line)["step"] >= due[0]:
            due.pop(0)
            if due:
                cluster.remove_node(nodes.pop(), allow_graceful=False)
            else:
                cluster.add_node(**_node(1))

    try:
        train.train_on_ray(load_config(config), Path(run), on_line=on_line)
    finally:
        ray.shutdown()
        cluster.shutdown()
    assert not due


def _node(num_cpus: int) -> dict[str, Any]:
    return {
        "num_cpus": num_cpus,
        "object_store_memory": _STORE_BYTES,
        "include_dashboard": False,
    }


if __name__ == "__main__":
    main(*sys.argv[1:])
