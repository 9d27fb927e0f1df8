"""The trainer's own death: killed at random moments and resumed, a run ends as if nothing had been.

The command line trains with Ray's decode actors, in a process that gets SIGKILL; the truth is a run
in this process, of the plain generator, that nobody disturbs.
"""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from avrep.assemble import build_objective, training_source
from avrep.config import RunConfig, dump_config
from avrep.pipeline.ledger import ledger_files
from avrep.pipeline.ledger_check import check_ledger
from avrep.pipeline.plan import Plan
from avrep.pretrain import pretrain
from avrep.trained import checkpoints, latest_checkpoint

from .victims import decoders, wait_until, wait_until_gone

pytestmark = [pytest.mark.faults, pytest.mark.ray, pytest.mark.slow]

_NUM_STEPS = 60
_NUM_KILLS = 4
_COMMAND = "from avrep.cli import main; main()"


def num_steps_done(run: Path) -> int:
    metrics = run / "metrics.jsonl"
    return metrics.read_bytes().count(b"\n") if metrics.is_file() else 0


def is_past(run: Path, step: int, trainer: subprocess.Popen[bytes]) -> bool:
    return num_steps_done(run) >= step or trainer.poll() is not None


def rows_of_ledger(run: Path) -> list[dict[str, object]]:
    return [row for file in ledger_files(run) for row in pq.read_table(file.path).to_pylist()]


def test_a_trainer_killed_at_random_moments(
    tiny_config: Callable[..., RunConfig],
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    config = tiny_config(num_steps=_NUM_STEPS, checkpoint_every_steps=7)
    pretrain(config, tmp_path / "whole")
    data = config.data.model_copy(update={"num_decode_actors": 2})
    config = config.model_copy(update={"data": data})
    (tmp_path / "config.yaml").write_text(dump_config(config), encoding="utf-8")
    run = tmp_path / "run"
    moments = random.Random(4)
    killed_at: list[int] = []
    for number in range(_NUM_KILLS + 1):
        is_last = number == _NUM_KILLS
        resume = ["--resume"] if checkpoints(run) else []
        arguments = ["train", str(tmp_path / "config.yaml"), "-o", str(run), *resume]
        with subprocess.Popen(
            [sys.executable, "-c", _COMMAND, *arguments],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "RAY_ADDRESS": ""},
        ) as trainer:
            if is_last:
                _, said = trainer.communicate(timeout=250)
                assert trainer.returncode == 0, said.decode()[-3000:]
                break
            # The first time before there is any checkpoint.
            until = 3 if number == 0 else killed_at[-1] + moments.randint(5, 12)
            wait_until(partial(is_past, run, until, trainer), "steps")
            time.sleep(moments.uniform(0, 0.1))
            actors = decoders(trainer.pid)
            trainer.kill()
            trainer.communicate()
            assert trainer.returncode == -signal.SIGKILL
        killed_at.append(num_steps_done(run))
        assert actors
        wait_until_gone(actors)
    assert _weights(run) == _weights(tmp_path / "whole")
    source = training_source(config, build_objective(config))
    assert isinstance(source.plan, Plan)
    report = check_ledger(run, source.plan, source.catalog, num_steps=_NUM_STEPS)
    assert report.is_whole
    assert report.num_items == 4 * _NUM_STEPS
    assert rows_of_ledger(run) == rows_of_ledger(tmp_path / "whole")
    record_property("fault", f"SIGKILL of the trainer in a run of {_NUM_STEPS} steps")
    record_property("planted", _NUM_KILLS)
    record_property(
        "result", f"killed at steps {killed_at}; weights bit for bit, ledger row for row the same"
    )


def _weights(run: Path) -> bytes:
    return Path(latest_checkpoint(run).url, "model.safetensors").read_bytes()
