"""Proves that several trainers through Ray Train give what one gives, and outlive one that is killed."""

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import ray

from avrep.cluster.train import train_on_ray
from avrep.config import RunConfig
from avrep.errors import ConfigError
from avrep.media.catalog import Catalog
from avrep.pretrain import pretrain
from avrep.report.ledger_table import audit_run
from tests.faults.victims import descendants
from tests.small_runs import VIDEOMAE, small_config

pytestmark = [
    pytest.mark.ray,
    pytest.mark.slow,
    pytest.mark.usefixtures("ray_cluster"),
]


def _config(catalog: Catalog, num_steps: int = 6, **train: object) -> RunConfig:
    steps = {"num_steps": num_steps, "num_workers": 2, "checkpoint_every_steps": 3}
    return small_config(catalog, {"num_decode_actors": 1}, {**steps, **train}, VIDEOMAE)


def _logged(run_dir: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]


def _alone(config: RunConfig) -> RunConfig:
    train = config.train.model_copy(update={"num_workers": 1})
    data = config.data.model_copy(update={"num_decode_actors": 0})
    return config.model_copy(update={"train": train, "data": data})


def _check_same(run_dir: Path, alone: Path) -> None:
    ours, theirs = _logged(run_dir), _logged(alone)
    assert [row["step"] for row in ours] == [row["step"] for row in theirs]
    for row, expected in zip(ours, theirs, strict=True):
        for name in ("loss", "grad_norm"):
            assert row[name] == pytest.approx(expected[name], rel=1e-4), (row["step"], name)
    report = audit_run(run_dir)["data"]
    assert report.is_whole
    assert report.num_items == 4 * len(theirs)


def test_two_trainers_are_one_and_one_goes_on_from_them(
    synth_catalog: Catalog, tmp_path: Path
) -> None:
    config = _config(synth_catalog)
    pretrain(_alone(config), tmp_path / "alone")
    lines: list[str] = []
    train_on_ray(config, tmp_path / "two", on_line=lines.append)
    assert [json.loads(line)["step"] for line in lines] == [1, 2, 3, 4, 5, 6]
    _check_same(tmp_path / "two", tmp_path / "alone")
    health = json.loads((tmp_path / "two" / "health.json").read_text())
    assert (health["num_clips"], health["num_read_items"]) == (24, 24)
    with pytest.raises(ConfigError, match="holds a run already; add --resume"):
        train_on_ray(config, tmp_path / "two")
    with pytest.raises(ConfigError, match=r"made with another config .*seed: 0 -> 1"):
        train_on_ray(config.model_copy(update={"seed": 1}), tmp_path / "two", resume=True)


def test_a_killed_trainer_is_started_again_from_the_checkpoint(
    synth_catalog: Catalog, tmp_path: Path
) -> None:
    config = _config(synth_catalog, num_steps=12)
    pretrain(_alone(config), tmp_path / "alone")
    killed: list[int] = []

    def kill_at(step: int) -> Callable[[str], None]:
        def on_line(line: str) -> None:
            if json.loads(line)["step"] == step and not killed:
                killed.append(descendants(b"ray::RayTrainWorker")[0])
                os.kill(killed[0], signal.SIGKILL)

        return on_line

    train_on_ray(config, tmp_path / "two", on_line=kill_at(4))
    assert killed
    _check_same(tmp_path / "two", tmp_path / "alone")


def test_a_mistake_is_told_before_any_trainer_starts(
    synth_catalog: Catalog, tmp_path: Path
) -> None:
    config = _config(synth_catalog)
    data = config.data.model_copy(update={"catalog": str(tmp_path / "none.parquet")})
    with pytest.raises(ConfigError, match="no catalogue at"):
        train_on_ray(config.model_copy(update={"data": data}), tmp_path / "run")
    for uneven in ({"num_workers": 3}, {"num_workers": 4, "min_workers": 3}):
        with pytest.raises(ConfigError, match="batch size 4 does not divide among 3 ranks"):
            train_on_ray(_config(synth_catalog, **uneven), tmp_path / "run")
    if ray.cluster_resources().get("GPU", 0) < 2:
        with pytest.raises(ConfigError, match=r"train.num_workers=2 wants 2 GPUs, one for each"):
            train_on_ray(_config(synth_catalog, device="cuda"), tmp_path / "run", can_grow=False)
    assert not (tmp_path / "run").exists()
