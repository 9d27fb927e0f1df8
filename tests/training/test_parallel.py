"""Which device a rank computes on, and what a person is told who asks for one that is not there."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from avrep.config import RunConfig
from avrep.embedding.corpus import make_here
from avrep.embedding.job import EmbedConfig, plan_job
from avrep.errors import ConfigError
from avrep.media.catalog import Catalog
from avrep.pretrain import pretrain
from avrep.training.parallel import named_device, pick_device

_NO_GPU = "cuda is asked for (train.device, or --device), but torch finds no GPU here; take auto or"


def test_a_name_is_the_cpu_or_the_gpu_of_this_rank() -> None:
    assert named_device("cpu", None) == named_device("cpu", 3) == torch.device("cpu")
    assert named_device("auto", None) == torch.device("cpu")
    assert named_device("auto", 3) == named_device("cuda", 3) == torch.device("cuda:3")
    with pytest.raises(ConfigError, match=re.escape(_NO_GPU)) as error:
        named_device("cuda", None)
    assert "\n" not in str(error.value)


def test_the_gpu_of_this_rank_is_the_current_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 2)
    assert pick_device("cuda") == pick_device("auto") == torch.device("cuda:2")
    assert pick_device("cpu") == torch.device("cpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is here")
def test_a_gpu_that_is_not_there_is_told_in_a_line(
    tiny_config: Callable[..., RunConfig], tiny_run: Path, synth_catalog: Catalog, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=re.escape(_NO_GPU)):
        pretrain(tiny_config(device="cuda"), tmp_path / "run")
    assert not (tmp_path / "run").exists()
    job = plan_job(tiny_run, synth_catalog.path, tmp_path / "features", EmbedConfig())
    with pytest.raises(ConfigError, match=re.escape(_NO_GPU)):
        next(make_here(job, [0], device="cuda"))
