"""Several Ray nodes, and one that goes away with its decode actors: the same stream.

Each scenario is a process of its own (`tests/faults/node_cluster.py`) with a Ray cluster of three
nodes on this machine: the trainer's, which has no slot for a decode actor, and two that have.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from avrep.media.catalog import Catalog
from tests.faults.node_cluster import NUM_STEPS, scenario_source
from tests.faults.runs import plain_digests

pytestmark = [pytest.mark.faults, pytest.mark.ray, pytest.mark.slow]

_SCRIPT = Path(__file__).parents[1] / "faults" / "node_cluster.py"
_FAULTS = {
    "whole": "decode actors on two Ray nodes, none lost",
    "removed": "a Ray node with decode actors is removed",
    "raylet": "SIGKILL of the raylet of a node with decode actors",
    "few": "a Ray node is removed, the rest has too few slots",
    "frozen": "SIGSTOP of the decode actors of another Ray node",
}


@pytest.mark.parametrize("scenario", list(_FAULTS))
def test_a_node_goes_away(
    synth_catalog: Catalog, record_property: Callable[[str, object], None], scenario: str
) -> None:
    # Ray's test cluster leaves its address where every other Ray of this machine would find it.
    with tempfile.TemporaryDirectory(prefix="ray-") as folder:
        done = subprocess.run(
            [sys.executable, str(_SCRIPT), str(synth_catalog.path), scenario],
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "RAY_TMPDIR": folder},
        )
    assert done.returncode == 0, done.stderr[-3000:]
    said = json.loads(done.stdout.splitlines()[-1])
    assert said["failures"] == []
    assert said["digests"] == plain_digests(
        scenario_source(synth_catalog, scenario), range(NUM_STEPS)
    )
    assert sum(said["on_nodes"]) == (3 if scenario == "few" else 2)
    assert min(said["on_nodes"]) > 0 or scenario != "whole"
    num_lost = 0 if scenario == "whole" else max(said["on_nodes"])
    assert num_lost > 0 or scenario == "whole"
    record_property("fault", _FAULTS[scenario])
    record_property("planted", 0 if scenario == "whole" else 1)
    record_property(
        "result",
        f"{num_lost} actors lost, {said['num_left']} at the end; {NUM_STEPS} digests unchanged",
    )
