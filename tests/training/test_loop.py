"""Proves of whole runs that micro-batches, recomputing and memory order change neither what is read nor
what is learned.
"""

import json
from pathlib import Path
from typing import Any

import pytest
import torch.distributed as dist
from torch.multiprocessing.spawn import spawn

from avrep.config import RunConfig
from avrep.errors import ConfigError
from avrep.media.catalog import Catalog
from avrep.pretrain import pretrain
from avrep.report.ledger_table import audit_run
from tests.small_runs import VIDEOMAE, small_config


def _config(catalog: Catalog, **train: object) -> RunConfig:
    optim = {"name": "adamw", "lr": 0.001, "layer_decay": 0.7, "final_weight_decay": 0.1}
    steps = {"batch_size": 8, "num_steps": 3, "optim": optim}
    data = {"num_decode_actors": 0, "draws_per_visit": 2}
    return small_config(catalog, data, {**steps, **train}, VIDEOMAE)


def _logged(run_dir: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def plain(synth_catalog: Catalog, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run_dir = tmp_path_factory.mktemp("runs") / "plain"
    pretrain(_config(synth_catalog), run_dir)
    return run_dir


@pytest.mark.slow
@pytest.mark.parametrize(
    "train",
    [
        {"num_micro_batches": 4},
        {"activation_checkpointing": True, "channels_last": True, "num_micro_batches": 2},
    ],
)
def test_a_run_is_the_same_run(
    plain: Path, synth_catalog: Catalog, tmp_path: Path, train: dict[str, Any]
) -> None:
    pretrain(_config(synth_catalog, **train), tmp_path / "run")
    ours, theirs = _logged(tmp_path / "run"), _logged(plain)
    assert [row["step"] for row in ours] == [1, 2, 3]
    for row, expected in zip(ours, theirs, strict=True):
        for name in ("loss", "grad_norm", "lr"):
            assert row[name] == pytest.approx(expected[name], rel=1e-4), (row["step"], name)
    assert theirs[0]["loss"] != theirs[2]["loss"]
    report = audit_run(tmp_path / "run")["data"]
    assert report.is_whole
    assert report.num_items == 3 * 8


_THREE = {"batch_size": 12, "num_workers": 4, "min_workers": 2, "num_micro_batches": 3}


def _one_of_three(rank: int, folder: str, config: RunConfig) -> None:
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=3
    )
    pretrain(config, Path(folder) / "three")
    dist.destroy_process_group()


@pytest.mark.slow
def test_three_of_four_trainers_take_the_step_in_parts_of_their_own(
    synth_catalog: Catalog, tmp_path: Path
) -> None:
    """Of four items each, where each of four would have three parts of one."""
    spawn(_one_of_three, args=(str(tmp_path), _three(synth_catalog, **_THREE)), nprocs=3)
    pretrain(_three(synth_catalog, batch_size=12), tmp_path / "alone")
    ours, theirs = _logged(tmp_path / "three"), _logged(tmp_path / "alone")
    assert len(ours) == 3
    for row, expected in zip(ours, theirs, strict=True):
        for name in ("loss", "grad_norm"):
            assert row[name] == pytest.approx(expected[name], rel=1e-4), (row["step"], name)


def _three(catalog: Catalog, **train: object) -> RunConfig:
    config = _config(catalog, **train)
    return config.model_copy(update={"data": config.data.model_copy(update={"draws_per_visit": 1})})


def test_an_objective_that_compares_items_is_refused_before_anything_is_read(
    tmp_path: Path, tiny_config: Any
) -> None:
    with pytest.raises(ConfigError, match="tells each item from the others of its batch"):
        pretrain(tiny_config(num_micro_batches=2), tmp_path / "run")
    assert not (tmp_path / "run").exists()
