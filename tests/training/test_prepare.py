"""Proves that the ways of computing an objective leave its loss and its update as they are, and that
what does not go here is refused before a run begins.
"""

from collections.abc import Iterator
from functools import partial

import pytest
import torch
from torch import nn
from torch._dynamo.utils import counters
from torch._inductor import config as inductor

from avrep.errors import ConfigError
from avrep.models.audio_conv import AudioConvConfig, build_audio_conv
from avrep.models.blocks import blocks_of
from avrep.models.video_conv import VideoConvConfig, build_video_conv
from avrep.objectives.base import Objective
from avrep.objectives.cvrl import Cvrl, CvrlConfig
from avrep.objectives.rspnet import Rspnet
from avrep.objectives.videomae import Videomae
from avrep.objectives.vjepa import Vjepa
from avrep.training.fsdp import shard
from avrep.training.loop import TrainConfig
from avrep.training.optim import build_optimizer
from avrep.training.prepare import compile_blocks, prepare
from avrep.training.step import take_step
from benchmarks.random_batch import random_batch
from tests.objectives.test_contract import TOYS

_CPU = torch.device("cpu")


def _config(**train: object) -> TrainConfig:
    optim = {"name": "adamw", "lr": 0.01}
    return TrainConfig.model_validate({"batch_size": 4, "num_steps": 1, "optim": optim, **train})


def _losses(kind: type[Objective], config: TrainConfig, num_steps: int = 3) -> list[float]:
    """Of a few steps on one batch."""
    objective = TOYS[kind](0)
    prepare(objective, config, _CPU)
    optimizer = build_optimizer(objective.named_parameters(), config.optim)
    losses = []
    for step in range(num_steps):
        result = take_step(
            objective, optimizer, random_batch(objective, 4), lr=0.01, precision="fp32", seed=0
        )
        objective.after_step(step + 1, num_steps)
        losses.append(result.loss)
    return losses


@pytest.mark.parametrize("kind", [Rspnet, Vjepa])
def test_activation_checkpointing_trains_the_same(kind: type[Objective]) -> None:
    losses = _losses(kind, _config())
    assert losses[0] != losses[1]
    assert _losses(kind, _config(activation_checkpointing=True)) == pytest.approx(losses, rel=1e-5)


def test_channels_last_trains_the_same() -> None:
    config = _config(channels_last=True)
    objective = TOYS[Rspnet](0)
    prepare(objective, config, _CPU)
    kernels = [m.weight for m in objective.modules() if isinstance(m, nn.Conv3d)]
    assert kernels
    assert all(k.is_contiguous(memory_format=torch.channels_last_3d) for k in kernels)
    assert _losses(Rspnet, config) == pytest.approx(_losses(Rspnet, _config()), rel=1e-4)


def test_channels_last_runs_through_a_residual_network() -> None:
    encoder = build_video_conv(VideoConvConfig(arch="r3d_18_fast", base_width=4), 0)
    objective = Cvrl(CvrlConfig(), encoder, 0)
    prepare(objective, _config(channels_last=True), _CPU)
    seen: list[bool] = []
    for block in encoder.blocks():
        block.register_forward_hook(
            lambda _m, _x, y: seen.append(y.is_contiguous(memory_format=torch.channels_last_3d))
        )
    encoder(torch.zeros(2, 3, 8, 64, 64))
    assert seen == [True] * 4


@pytest.fixture
def _fresh_compiler() -> Iterator[None]:
    """Which remembers no other test, and starts no processes, which would each load torch."""
    torch._dynamo.reset()
    with inductor.patch(compile_threads=1):
        yield


@pytest.mark.slow
@pytest.mark.usefixtures("_fresh_compiler")
@pytest.mark.parametrize("kind", [Rspnet, Videomae])
@pytest.mark.parametrize("also", [{}, {"activation_checkpointing": True}])
def test_traced_blocks_train_the_same(
    kind: type[Objective], also: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Traced and run as they are: making kernels of them takes a minute."""
    traced = partial(compile_blocks, backend="aot_eager")
    monkeypatch.setattr("avrep.training.prepare.compile_blocks", traced)
    eager = _losses(kind, _config(), 2)
    counters.clear()
    assert _losses(kind, _config(compile=True, **also), 2) == pytest.approx(eager, rel=1e-4)
    assert counters["stats"]["unique_graphs"] > 0
    assert not counters["graph_break"]


@pytest.mark.slow
@pytest.mark.usefixtures("_fresh_compiler")
@pytest.mark.parametrize("kind", [Cvrl, Videomae])
def test_a_compiled_block_gives_the_same_loss(
    kind: type[Objective], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One block: a network's stages are of one kind, and each takes a while."""
    monkeypatch.setattr("avrep.training.prepare.blocks_of", lambda part: blocks_of(part)[:1])
    eager, compiled = TOYS[kind](0), TOYS[kind](0)
    prepare(compiled, _config(compile=True), _CPU)
    batch = random_batch(eager, 4)
    with torch.no_grad():
        expected = eager(batch, torch.Generator()).loss
        counters.clear()
        loss = compiled(batch, torch.Generator()).loss
    torch.testing.assert_close(loss, expected, rtol=1e-4, atol=0)
    assert counters["stats"]["unique_graphs"] == 1
    assert not counters["graph_break"]


def test_without_a_compiler_one_line_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "/nowhere/c++")
    with pytest.raises(ConfigError, match=r"wants a compiler, and /nowhere/c\+\+ is not found"):
        prepare(TOYS[Videomae](0), _config(compile=True), _CPU)


def test_what_is_not_made_of_blocks_is_refused() -> None:
    objective = Cvrl(CvrlConfig(), build_audio_conv(AudioConvConfig(base_width=4), 0), 0)
    with pytest.raises(ConfigError, match="parallel is fsdp, but neither encoders nor heads have"):
        shard(objective, _CPU)
    with pytest.raises(ConfigError, match="activation_checkpointing is set, but neither encoders"):
        prepare(objective, _config(activation_checkpointing=True), _CPU)


def test_channels_last_goes_with_ddp_alone() -> None:
    with pytest.raises(ValueError, match="channels_last does not go with parallel: fsdp; take ddp"):
        _config(channels_last=True, parallel="fsdp")
