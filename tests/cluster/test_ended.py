"""A trainer that ends for what no restart mends leaves a note, and is not trained again."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch.distributed as dist

from avrep.cluster.ended import forget_end, noting_end, why_ended
from avrep.cluster.train import _train_as_rank
from avrep.config import RunConfig
from avrep.errors import (
    AvrepError,
    ConfigError,
    FailureBudgetExceeded,
    LayoutError,
    ShardError,
    StepNotFinite,
)


@pytest.mark.parametrize(
    ("raised", "kind"),
    [
        (ConfigError("no such metric"), ConfigError),
        (LayoutError("no videos", "videos/\n"), ConfigError),
        (FailureBudgetExceeded("9 of 100 items failed"), FailureBudgetExceeded),
        (ShardError("the store is not there"), None),
        (StepNotFinite("step 3"), None),
        (OSError("no space"), None),
    ],
)
def test_what_no_restart_mends_is_written_down(
    raised: Exception, kind: type[AvrepError] | None, tmp_path: Path
) -> None:
    with pytest.raises(type(raised)), noting_end(tmp_path / "run"):
        raise raised
    noted = why_ended(tmp_path / "run")
    assert (type(noted) if noted else None) is kind
    assert noted is None or str(noted) == str(raised)
    forget_end(tmp_path / "run")
    assert why_ended(tmp_path / "run") is None


@pytest.fixture
def group_of_one(tmp_path: Path) -> Iterator[None]:
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/group", rank=0, world_size=1)
    yield
    dist.destroy_process_group()


@pytest.mark.usefixtures("group_of_one")
def test_a_trainer_that_is_started_again_ends_at_once(
    tiny_config: Callable[..., RunConfig], tmp_path: Path
) -> None:
    config, run = tiny_config(keep_best={"metric": "los"}), tmp_path / "run"
    given = {
        "config": config.model_dump(mode="json"),
        "run_dir": str(run),
        "must_resume": False,
        "device": "cpu",
    }
    with pytest.raises(ConfigError, match="no 'los' was logged"):
        _train_as_rank(given)
    metrics = (run / "metrics.jsonl").read_text()
    # It was found at the first checkpoint, and the run has six steps.
    assert len(metrics.splitlines()) == 2
    _train_as_rank(given)
    assert (run / "metrics.jsonl").read_text() == metrics
    noted = why_ended(run)
    assert isinstance(noted, ConfigError)
    assert "no 'los' was logged" in str(noted)
    # Started anew by a person, who may have mended it.
    forget_end(run)
    with pytest.raises(ConfigError, match="no 'los' was logged"):
        _train_as_rank(given)
    assert len((run / "metrics.jsonl").read_text().splitlines()) > 2
