"""A run that is told to stop leaves a checkpoint behind, and goes on to the very same end."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import pytest

from avrep.config import RunConfig, dump_config
from avrep.pretrain import pretrain
from avrep.report.ledger_table import audit_run
from avrep.trained import latest_checkpoint
from avrep.training.loop import StepRecord
from avrep.training.stop import stop_signals

MakeConfig = Callable[..., RunConfig]


def _weights(run: Path) -> bytes:
    return Path(latest_checkpoint(run).url, "model.safetensors").read_bytes()


def test_a_run_that_is_told_to_stop_ends_its_step_and_can_go_on(
    tiny_config: MakeConfig, tiny_run: Path, tmp_path: Path
) -> None:
    """After the third step, where no checkpoint was due."""
    steps: list[int] = []

    def on_step(record: StepRecord) -> None:
        steps.append(record.step)
        if record.step == 2:
            os.kill(os.getpid(), signal.SIGTERM)

    run = tmp_path / "run"
    with stop_signals() as asked:
        done = pretrain(tiny_config(), run, should_stop=asked, on_step=on_step)
        assert asked.number == signal.SIGTERM
    assert (done, steps) == (3, [1, 2, 3])
    assert latest_checkpoint(run).step == 3
    assert pretrain(tiny_config(), run, resume=True) == 6
    assert _weights(run) == _weights(tiny_run)
    assert audit_run(run)["data"].is_whole


def test_the_second_signal_acts_as_ever() -> None:
    seen: list[int] = []

    def usual(number: int, _frame: FrameType | None) -> None:
        seen.append(number)

    before = signal.signal(signal.SIGINT, usual)
    try:
        with stop_signals() as asked:
            assert not asked()
            signal.raise_signal(signal.SIGINT)
            assert (asked(), asked.number, seen) == (True, signal.SIGINT, [])
            signal.raise_signal(signal.SIGINT)
            assert seen == [signal.SIGINT]
        with stop_signals():
            assert signal.getsignal(signal.SIGINT) is not usual
        assert signal.getsignal(signal.SIGINT) is usual
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "num_actors"), [(signal.SIGINT, 0), (signal.SIGTERM, 0), (signal.SIGTERM, 1)]
)
def test_the_command_says_what_ended_it(
    tiny_config: MakeConfig, tmp_path: Path, number: signal.Signals, num_actors: int
) -> None:
    """With decode actors, there is Ray, which would take the signal for itself."""
    config = tiny_config(num_steps=5000)
    data = config.data.model_copy(update={"num_decode_actors": num_actors})
    (tmp_path / "config.yaml").write_text(dump_config(config.model_copy(update={"data": data})))
    words = [str(Path(sys.executable).with_name("avrep")), "train", "config.yaml", "-o", "run"]
    command = subprocess.Popen(
        words, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    while not (tmp_path / "run" / "metrics.jsonl").is_file():
        assert command.poll() is None
        time.sleep(0.1)
    command.send_signal(number)
    out, err = command.communicate(timeout=60)
    assert command.returncode == 128 + number
    assert (
        f"ended by {number.name}, with a checkpoint; the same command goes on with --resume" in out
    )
    assert "once more stops at once" in err
    assert "Traceback" not in err
    step = latest_checkpoint(tmp_path / "run").step
    last = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()[-1]
    assert f'"step": {step}' in last
