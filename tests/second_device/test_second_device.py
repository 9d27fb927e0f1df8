"""Proves, without a GPU, that what runs on one mixes no devices, gives the same, and seldom waits."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.objectives.test_contract import TOYS

pytestmark = pytest.mark.slow

_ROOT = Path(__file__).parents[2]
_RUN_THERE = (
    "tests/embedding/test_corpus.py",
    "tests/embedding/test_query.py",
    "tests/evaluation/sound",
    "tests/labelling",
    "tests/recognition",
    "tests/test_evaluate.py",
    "tests/test_evaluate_task.py",
    "tests/test_finetune.py",
    "tests/test_methods.py",
    "tests/test_online_probe.py",
    "tests/test_pretrain.py",
    "tests/test_replay.py",
    "tests/test_sync_task.py",
)


@pytest.fixture(scope="module")
def steps() -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.second_device.steps"]
    done = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout)


@pytest.mark.parametrize("kind", [kind.__name__ for kind in TOYS])
def test_steps_are_those_of_the_cpu_and_wait_once(kind: str, steps: dict[str, Any]) -> None:
    host, device = steps[kind]["host"], steps[kind]["device"]
    assert len(host["results"]) == len(device["results"]) == 2
    for ours, theirs in zip(device["results"], host["results"], strict=True):
        assert ours.pop("metrics") == pytest.approx(theirs.pop("metrics"), rel=1e-4, abs=1e-5)
        assert ours == pytest.approx(theirs, rel=1e-4)
    assert device["weights"] == pytest.approx(host["weights"], rel=1e-3, abs=1e-4)
    # Autocast is that of GPUs, whose lists are others.
    fp32, bf16 = steps[kind]["host_still"], steps[kind]["device_still_bf16"]
    assert bf16["results"][0]["loss"] == pytest.approx(fp32["results"][0]["loss"], rel=0.03)
    for there in (device, bf16):
        num_steps = len(there["results"])
        assert there["waits"] == {"aten::_to_copy in training/step.py:take_step": num_steps}


def test_what_a_gpu_refuses_is_refused() -> None:
    """A planted fault of each kind: the proofs here can fail."""
    program = """
import torch
from tests.second_device.tensors import WAITS, SecondDevice, second_device
device = second_device()
with SecondDevice():
    layer = torch.nn.Linear(3, 2).to(device)
    own = torch.randn(4, 3, device=device, requires_grad=True)
    layer(own).sum().backward()
    assert own.grad.device == layer.weight.grad.device == device
    assert (own * torch.tensor(2.0)).device == device
    for mixed in (
        lambda: layer(torch.randn(4, 3)),
        lambda: own + torch.ones(3),
        lambda: own.index_select(0, torch.tensor([1])),
        lambda: torch.randn(3, generator=torch.Generator(device)),
        lambda: torch.randn(3, device=device, generator=torch.Generator()),
        lambda: own.detach().numpy(),
    ):
        try:
            mixed()
        except (RuntimeError, TypeError):
            continue
        raise SystemExit(f"let pass: {mixed.__code__.co_firstlineno}")
    for waiting in (
        lambda: float(own.detach().sum()),
        lambda: own.detach().tolist(),
        lambda: own.detach().cpu(),
        lambda: own.detach()[own[:, 0] > 0],
        lambda: own.detach()[torch.tensor([1])],
        lambda: own.detach().nonzero(),
        lambda: torch.ones(3).to(device),
        lambda: torch.tensor([1.0], device=device),
    ):
        WAITS.clear()
        waiting()
        assert WAITS.total() > 0, waiting
    WAITS.clear()
    torch.ones(3).to(device, non_blocking=True) + layer(own).softmax(dim=1).sum()
    assert not WAITS, WAITS
    with torch.autocast(device.type, torch.bfloat16):
        assert layer(own).dtype == torch.bfloat16
        assert layer(own).softmax(dim=1).dtype == torch.float32
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=_ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-4000:]


def test_training_and_evaluators_pass_their_tests_there() -> None:
    command = [sys.executable, "-m", "pytest", "-p", "tests.second_device.plugin", "-q", "-x"]
    done = subprocess.run(
        [*command, "--tb=short", "-m", "not ray and not slow", *_RUN_THERE],
        cwd=_ROOT,
        env={**os.environ, "PYTHONPATH": str(_ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6000:]
    assert int(done.stdout.rpartition(" passed")[0].rpartition("\n")[2].split()[-1]) > 200


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
@pytest.mark.parametrize("kind", TOYS)
def test_on_a_gpu_a_step_waits_once(kind: type) -> None:
    """Torch's own count of what waits."""
    from tests.second_device.steps import steps_of

    device = torch.device("cuda", 0)
    with pytest.warns(UserWarning, match="called a synchronizing CUDA operation") as told:
        steps_of(TOYS[kind](0), "bf16", device)
    assert len(told) == 2
