"""Proves that a process is ended for certain, and no other that has got its number."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace

import psutil
import pytest

from avrep.cluster.end_process import Whereabouts, end_process, whereabouts

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_cluster")]


@pytest.fixture
def frozen() -> Iterator[subprocess.Popen[bytes]]:
    """A process that heeds no request to end."""
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    os.kill(process.pid, signal.SIGSTOP)
    os.waitpid(process.pid, os.WUNTRACED)
    yield process
    process.kill()
    process.wait()


def _where(process: subprocess.Popen[bytes]) -> Whereabouts:
    created_s = psutil.Process(process.pid).create_time()
    return replace(whereabouts(), pid=process.pid, created_s=created_s)


def test_a_frozen_process_is_ended(frozen: subprocess.Popen[bytes]) -> None:
    end_process(_where(frozen))
    assert frozen.wait(timeout=60) == -signal.SIGKILL
    # And one that is gone is left be.
    end_process(replace(whereabouts(), pid=frozen.pid, created_s=0.0))


def test_a_later_process_of_the_same_number_is_left_alone(
    frozen: subprocess.Popen[bytes],
) -> None:
    where = _where(frozen)
    end_process(replace(where, created_s=where.created_s - 1.0))
    assert psutil.Process(frozen.pid).status() == psutil.STATUS_STOPPED


def test_it_is_told_where_it_runs() -> None:
    where = whereabouts()
    assert where.pid == os.getpid()
    assert where.host == os.uname().nodename
