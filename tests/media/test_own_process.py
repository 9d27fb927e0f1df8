"""A call that crashes, hangs or raises costs that call only, and no process outlives its caller."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from avrep.errors import MediaError
from avrep.media.own_process import OwnProcess, interrupts_for_parent_alone

DEEDS = """
import os, signal, time
from pathlib import Path
from avrep.errors import MediaError, ShardError

def do(deed, folder):
    with (Path(folder) / "log").open("a") as log:
        log.write(f"{deed} {os.getpid()}\\n")
    if deed == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    if deed == "crash once" and not (Path(folder) / "crashed").exists():
        (Path(folder) / "crashed").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    if deed == "hang":
        time.sleep(600)
    if deed == "refuse":
        raise MediaError("video", "no frame")
    if deed == "storage":
        raise ShardError("gone")
    if deed == "full disk":
        raise OSError(28, "No space left on device")
    if deed == "swell":
        return len(bytearray(2**30 + 2**20))
    return deed.upper()
"""


@pytest.fixture
def deeds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    (tmp_path / "deeds_to_do.py").write_text(DEEDS)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield import_module("deeds_to_do").do
    sys.modules.pop("deeds_to_do")


def pids(folder: Path) -> list[int]:
    return [int(line.split()[-1]) for line in (folder / "log").read_text().splitlines()]


def test_results_and_errors_come_back_from_one_process(deeds: Any, tmp_path: Path) -> None:
    folder = str(tmp_path)
    with OwnProcess(deeds, 2**30) as process:
        assert process.call(60, "work", folder) == "WORK"
        with pytest.raises(MediaError, match="no frame") as caught:
            process.call(60, "refuse", folder)
        assert caught.value.stage == "video"
        with pytest.raises(OSError, match="No space left"):
            process.call(60, "full disk", folder)
        assert process.call(60, "more", folder) == "MORE"
    (pid,) = set(pids(tmp_path))
    assert pid != os.getpid()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_crash_is_tried_again_once_and_then_named(deeds: Any, tmp_path: Path) -> None:
    folder = str(tmp_path)
    with OwnProcess(deeds, 2**30) as process:
        assert process.call(60, "crash once", folder) == "CRASH ONCE"
        with pytest.raises(MediaError) as caught:
            process.call(60, "crash", folder)
        assert caught.value.stage == "crash"
        assert process.call(60, "work", folder) == "WORK"
    # The second process also took the first of the two crashes, the third the other.
    assert len(set(pids(tmp_path))) == 4


def test_a_call_that_hangs_is_ended_at_its_deadline(deeds: Any, tmp_path: Path) -> None:
    folder = str(tmp_path)
    with OwnProcess(deeds, 2**30) as process:
        process.call(60, "work", folder)
        with pytest.raises(MediaError, match="not done within") as caught:
            process.call(0.2, "hang", folder)
        assert caught.value.stage == "deadline"
        with pytest.raises(ProcessLookupError):
            os.kill(pids(tmp_path)[-1], 0)
        assert process.call(60, "work", folder) == "WORK"


@pytest.mark.skipif(sys.platform != "linux", reason="memory is bounded on Linux only")
def test_a_call_cannot_take_the_machines_memory(deeds: Any, tmp_path: Path) -> None:
    with OwnProcess(deeds, 2**30) as process:
        with pytest.raises(MemoryError):
            process.call(60, "swell", str(tmp_path))
        assert process.call(60, "work", str(tmp_path)) == "WORK"
    with OwnProcess(deeds, 2**32) as process:
        assert process.call(60, "swell", str(tmp_path)) == 2**30 + 2**20


def test_nothing_outlives_a_caller_that_is_killed(deeds: Any, tmp_path: Path) -> None:
    del deeds
    script = tmp_path / "caller.py"
    script.write_text(
        "from avrep.media.own_process import OwnProcess\n"
        "from deeds_to_do import do\n"
        "if __name__ == '__main__':\n"
        f"    OwnProcess(do, 2**30).call(600, 'hang', {str(tmp_path)!r})\n"
    )
    caller = subprocess.Popen([sys.executable, str(script)])
    try:
        while not (tmp_path / "log").exists() and caller.poll() is None:
            time.sleep(0.05)
        (pid,) = pids(tmp_path)
    finally:
        caller.send_signal(signal.SIGKILL)
        caller.wait()
    give_up_s = time.monotonic() + 30
    while Path(f"/proc/{pid}").exists() and "(zombie)" not in _state(pid):
        assert time.monotonic() < give_up_s, "the child goes on without its caller"
        time.sleep(0.05)


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return "(zombie)"


def test_an_interrupt_waits_until_a_process_is_started() -> None:
    """Sent to the process, so that any thread may take it: here one that waits does."""
    done = threading.Event()
    other = threading.Thread(target=done.wait)
    other.start()
    steps: list[str] = []

    def start() -> None:
        with interrupts_for_parent_alone():
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.2)
            steps.append("started")
        steps.append("went on")

    # Whoever runs the tests may pass over interrupts.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            start()
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)
        done.set()
        other.join()
    assert steps == ["started"]
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())
