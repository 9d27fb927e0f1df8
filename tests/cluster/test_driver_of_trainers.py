"""The driver of several trainers is killed: they end with it, and the same command goes on."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import ray

from avrep.config import RunConfig, dump_config
from avrep.media.catalog import Catalog
from avrep.pretrain import pretrain
from avrep.report.ledger_table import audit_run
from tests.faults.victims import decoders, descendants, wait_until, wait_until_gone
from tests.small_runs import VIDEOMAE, small_config

pytestmark = [
    pytest.mark.faults,
    pytest.mark.ray,
    pytest.mark.slow,
    pytest.mark.usefixtures("ray_cluster"),
]

_NUM_STEPS = 60
_KILLED_AT = 8
_COMMAND = "from avrep.cli import main; main()"


def _config(catalog: Catalog, num_actors: int, num_workers: int) -> RunConfig:
    train = {"num_steps": _NUM_STEPS, "num_workers": num_workers, "checkpoint_every_steps": 3}
    return small_config(catalog, {"num_decode_actors": num_actors}, train, VIDEOMAE)


def _losses(run: Path) -> list[tuple[int, float]]:
    lines = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    return [(line["step"], line["loss"]) for line in lines]


def _num_logged(run: Path) -> int:
    metrics = run / "metrics.jsonl"
    return metrics.read_bytes().count(b"\n") if metrics.is_file() else 0


def test_the_same_command_goes_on(
    synth_catalog: Catalog, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    pretrain(_config(synth_catalog, 0, 1), tmp_path / "alone")
    (tmp_path / "config.yaml").write_text(dump_config(_config(synth_catalog, 1, 2)))
    run = tmp_path / "run"

    def begin() -> subprocess.Popen[bytes]:
        words = ["train", str(tmp_path / "config.yaml"), "-o", str(run), "--resume-if-begun"]
        return subprocess.Popen(
            [sys.executable, "-c", _COMMAND, *words],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join(sys.path),
                "RAY_ADDRESS": ray.get_runtime_context().gcs_address,
            },
        )

    with begin() as driver:
        wait_until(lambda: _num_logged(run) >= _KILLED_AT or driver.poll() is not None, "steps")
        workers = [*descendants(b"ray::RayTrainWorker"), *decoders()]
        driver.kill()
        driver.communicate()
    assert len(workers) >= 4
    wait_until_gone(workers)
    killed_at = _num_logged(run)
    assert _KILLED_AT <= killed_at < _NUM_STEPS
    with begin() as driver:
        _, said = driver.communicate(timeout=250)
        assert driver.returncode == 0, said.decode()[-3000:]
    ours, theirs = _losses(run), _losses(tmp_path / "alone")
    assert [step for step, _ in ours] == [step for step, _ in theirs]
    for (step, loss), (_, expected) in zip(ours, theirs, strict=True):
        assert loss == pytest.approx(expected, rel=1e-2), step
    report = audit_run(run)["data"]
    assert report.is_whole
    assert report.num_items == 4 * _NUM_STEPS
    record_property("fault", "SIGKILL of the driver of two trainers, Ray living on")
    record_property("planted", 1)
    record_property("result", "trainers and decoders end; the same command goes on, ledger whole")
