"""A loss that is not finite stops several trainers together, once, and each says whose clips it had."""

from collections.abc import Callable
from pathlib import Path

import pytest
from ray.train.v2.api.exceptions import TrainingFailedError

from avrep.cluster.train import train_on_ray
from avrep.config import RunConfig
from avrep.errors import ConfigError, StepNotFinite
from avrep.replay import replay_step
from avrep.trained import read_run_config
from avrep.training.guard import read_incidents

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.usefixtures("ray_cluster")]


def test_all_trainers_stop_and_none_is_started_again(
    tiny_config: Callable[..., RunConfig], tmp_path: Path
) -> None:
    config = tiny_config(num_workers=2, warmup_steps=0, optim={"lr": 1e30})
    run = tmp_path / "run"
    with pytest.raises(StepNotFinite, match="is not finite; its clips: ") as error:
        train_on_ray(config, run)
    parts = read_incidents(run)
    assert [(part.rank, part.world_size) for part in parts] == [(0, 2), (1, 2)]
    (step,) = {part.step for part in parts}
    assert f"avrep replay {run} --step {step}" in str(error.value)
    # Each start of the trainers begins a file of its own.
    assert len(list((run / "tensorboard").iterdir())) == 1
    replay = replay_step(run, step)
    assert replay.batch.keys == parts[0].keys["data"] + parts[1].keys["data"]
    assert read_run_config(run).train.num_workers == 2


def test_what_no_restart_mends_ends_them_at_once(
    tiny_config: Callable[..., RunConfig], tmp_path: Path
) -> None:
    config = tiny_config(num_workers=2, keep_best={"metric": "los"}, max_restarts=1)
    with pytest.raises(ConfigError, match="no 'los' was logged") as error:
        train_on_ray(config, tmp_path / "run")
    # Started again they would end well, as there is a note, and Ray would tell of no failure.
    assert isinstance(error.value.__cause__, TrainingFailedError)
