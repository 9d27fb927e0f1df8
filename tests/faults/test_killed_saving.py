"""Killed at random moments, many of them while it writes a checkpoint, a run ends as if nothing had
been. The truth is a run that nobody disturbs.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from avrep.config import RunConfig, dump_config
from avrep.pretrain import pretrain
from avrep.report.ledger_table import audit_run
from avrep.trained import latest_checkpoint

pytestmark = [pytest.mark.faults, pytest.mark.slow]

_SCRIPT = Path(__file__).with_name("killed_trainer.py")
_NUM_KILLS = 20
_NUM_STEPS = 80


def test_a_trainer_killed_while_it_saves(
    tiny_config: Callable[..., RunConfig],
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    config = tiny_config(num_steps=_NUM_STEPS, keep_best={"metric": "loss"})
    pretrain(config, tmp_path / "whole")
    (tmp_path / "config.yaml").write_text(dump_config(config), encoding="utf-8")
    run = tmp_path / "run"
    done = subprocess.run(
        [sys.executable, str(_SCRIPT), tmp_path / "config.yaml", run, str(_NUM_KILLS), "1"],
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    said = json.loads(done.stdout.splitlines()[-1])
    assert len(said["killed_at"]) == _NUM_KILLS
    assert len(said["while_writing"]) == _NUM_KILLS // 2
    for name in ("model.safetensors", "optimizer.safetensors"):
        ours, theirs = (
            Path(latest_checkpoint(each).url, name) for each in (run, tmp_path / "whole")
        )
        assert ours.read_bytes() == theirs.read_bytes(), name
    report = audit_run(run)["data"]
    assert report.is_whole
    assert (report.num_steps, report.num_items) == (_NUM_STEPS, 4 * _NUM_STEPS)
    # Nothing torn is left; the newest two and the best are there, as in the run that is whole.
    left, expected = (
        sorted(path.name for path in (each / "checkpoints").iterdir())
        for each in (run, tmp_path / "whole")
    )
    assert left == expected
    record_property("fault", "SIGKILL of a trainer, every other one while it writes a checkpoint")
    record_property("planted", _NUM_KILLS)
    record_property("result", f"at steps {said['killed_at']}; weights bit for bit, ledger whole")
