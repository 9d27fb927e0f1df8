"""Trains, is killed at random moments and resumes, until it was killed often enough: run as a process.

`python killed_trainer.py CONFIG RUN NUM_KILLS SEED`, of which the last line of output is a JSON
object. Each attempt is a fork of this process, which has all modules loaded and no other thread.
Every other attempt is killed from outside, at any moment. The others end themselves, by SIGKILL just
before an operation on a file of a checkpoint: the n-th that Python tells its auditors of.
"""

import json
import os
import random
import signal
import sys
import threading
import time
import traceback
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from avrep.config import RunConfig, load_config
from avrep.pretrain import pretrain
from avrep.trained import checkpoints

# What is asked of a checkpoint's files, from its folder's making to the old ones' removal.
_OPERATIONS = frozenset({"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "shutil.rmtree"})


def main(config_path: str, run: str, num_kills: str, seed: str) -> None:
    torch.set_num_threads(1)
    config, run_dir, moments = load_config(config_path), Path(run), random.Random(int(seed))
    # What a first step imports, no attempt has to import again.
    with TemporaryDirectory() as folder:
        pretrain(config, Path(folder), stop_after=1)
    assert threading.active_count() == 1
    killed_at: list[int] = []
    while_writing: list[str] = []
    while len(killed_at) < int(num_kills):
        inside = len(killed_at) % 2 == 1
        reader, writer = os.pipe()
        operation = moments.randint(1, 26) if inside else None
        child = _begun(config, run_dir, operation, writer)
        os.close(writer)
        if not inside:
            _wait_for_steps(run_dir, num_steps_done(run_dir) + moments.randint(1, 3), child)
            time.sleep(moments.uniform(0, 0.05))
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        with os.fdopen(reader) as told:
            if inside:
                while_writing.append(told.read())
        assert os.WIFSIGNALED(status), f"attempt {len(killed_at)} ended by itself: {status}"
        assert os.WTERMSIG(status) == signal.SIGKILL
        killed_at.append(num_steps_done(run_dir))
    _, status = os.waitpid(_begun(config, run_dir, None, None), 0)
    assert status == 0
    print(json.dumps({"killed_at": killed_at, "while_writing": while_writing}))


def num_steps_done(run_dir: Path) -> int:
    metrics = run_dir / "metrics.jsonl"
    return metrics.read_bytes().count(b"\n") if metrics.is_file() else 0


def _begun(config: RunConfig, run_dir: Path, operation: int | None, told: int | None) -> int:
    """The process id of a fork that trains, and ends at that operation on a checkpoint's file."""
    child = os.fork()
    if child:
        return child
    try:
        if operation is not None and told is not None:
            _end_at(operation, told)
        pretrain(config, run_dir, resume=bool(checkpoints(run_dir)))
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def _end_at(operation: int, told: int) -> None:
    left = [operation]

    def hear(event: str, arguments: tuple[object, ...]) -> None:
        if event in _OPERATIONS and "step-" in str(arguments[0]):
            left[0] -= 1
            if left[0] == 0:
                os.write(told, f"{event} {Path(str(arguments[0])).name}".encode())
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hear)


def _wait_for_steps(run_dir: Path, num_steps: int, child: int) -> None:
    while (
        num_steps_done(run_dir) < num_steps
        and os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None
    ):
        time.sleep(0.005)


if __name__ == "__main__":
    main(*sys.argv[1:])
