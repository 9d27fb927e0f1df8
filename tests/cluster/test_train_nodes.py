"""A node goes away with its trainer, and another comes: training goes on with as many as there is room
for, unasked.

In a process of its own (`tests/faults/train_nodes.py`), with a Ray cluster of three nodes.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

from avrep.config import RunConfig, dump_config
from avrep.media.catalog import Catalog
from avrep.pipeline.ledger import ledger_files
from avrep.pretrain import pretrain
from avrep.report.ledger_table import audit_run
from tests.small_runs import VIDEOMAE, small_config

pytestmark = [pytest.mark.faults, pytest.mark.ray, pytest.mark.slow]

_SCRIPT = Path(__file__).parents[1] / "faults" / "train_nodes.py"
_NUM_STEPS = 800


def _config(catalog: Catalog, **train: object) -> RunConfig:
    # At a rate so small, what ranks round otherwise stays as small for 800 steps.
    optim = {"name": "adamw", "lr": 1e-5}
    steps = {"num_steps": _NUM_STEPS, "checkpoint_every_steps": 5, "optim": optim}
    return small_config(catalog, {"num_decode_actors": 0}, {**steps, **train}, VIDEOMAE)


def test_a_trainers_node_is_lost_and_another_comes(
    synth_catalog: Catalog, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    pretrain(_config(synth_catalog), tmp_path / "alone")
    config = _config(synth_catalog, num_workers=2, min_workers=1)
    (tmp_path / "config.yaml").write_text(dump_config(config), encoding="utf-8")
    run = tmp_path / "run"
    # Ray's test cluster leaves its address where every other Ray of this machine would find it.
    with tempfile.TemporaryDirectory(prefix="ray-") as folder:
        done = subprocess.run(
            [sys.executable, str(_SCRIPT), str(tmp_path / "config.yaml"), str(run)],
            capture_output=True,
            text=True,
            timeout=550,
            check=False,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "RAY_TMPDIR": folder},
        )
    assert done.returncode == 0, done.stderr[-3000:]
    ours, theirs = _logged(run), _logged(tmp_path / "alone")
    assert [row["step"] for row in ours] == [row["step"] for row in theirs]
    for row, expected in zip(ours, theirs, strict=True):
        assert row["loss"] == pytest.approx(expected["loss"], rel=1e-3), row["step"]
    report = audit_run(run)["data"]
    assert report.is_whole
    assert report.num_items == 4 * _NUM_STEPS
    ranks: dict[int, int] = {}
    for file in ledger_files(run):
        ranks[file.first_step] = max(ranks.get(file.first_step, 0), file.rank + 1)
    numbers = [ranks[step] for step in sorted(ranks)]
    assert [number for number, _ in groupby(numbers)] == [2, 1, 2]
    record_property("fault", "one of two Ray nodes with trainers is lost, and another comes")
    record_property("planted", 1)
    record_property("result", "one trainer goes on alone, then two again, the ledger whole")


def _logged(run_dir: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
