"""Decode actors are beside their trainer while there is room, and spread over the other nodes else."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from avrep.media.catalog import Catalog

pytestmark = [pytest.mark.ray, pytest.mark.slow]

_SCRIPT = Path(__file__).parent / "placed_actors.py"


def test_near_first_then_spread(synth_catalog: Catalog) -> None:
    # Ray's test cluster leaves its address where every other Ray of this machine would find it.
    with tempfile.TemporaryDirectory(prefix="ray-") as folder:
        done = subprocess.run(
            [sys.executable, str(_SCRIPT), str(synth_catalog.path)],
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "RAY_TMPDIR": folder},
        )
    assert done.returncode == 0, done.stderr[-3000:]
    said = json.loads(done.stdout.splitlines()[-1])
    assert said["one"] == [1, 0, 0]
    assert said["as many as the trainer's node has room for"] == [2, 0, 0]
    assert said["four more"] == [2, 2, 2]
    assert said["more than there is room for"] == [2, 3, 3]
    taken = said["the trainer's node is taken"]
    assert taken[0] == 0
    assert sum(taken) == 2
