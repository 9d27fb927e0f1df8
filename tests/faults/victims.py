"""The processes that tests kill or freeze: only descendants of the test's own process."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np

_PATIENCE_S = 240.0


def decoders(ancestor: int | None = None) -> list[int]:
    """Process ids of the decode actors that descend from a process, this one by default."""
    return descendants(b"ray::DecodeWorker", ancestor)


def descendants(command: bytes, ancestor: int | None = None) -> list[int]:
    """Process ids, ascending, of the descendants whose command line holds `command`."""
    above = ancestor or os.getpid()
    return sorted(pid for pid in _pids() if command in _command(pid) and above in _ancestors(pid))


def are_up(count: int) -> bool:
    """Whether so many decode actors are there, and past their start."""
    found = decoders()
    return len(found) == count and not any(b".__init__" in _command(pid) for pid in found)


def rss_bytes(pid: int) -> int:
    """Memory that a process holds by itself: resident, less what is in files and shared memory."""
    return _status_bytes(pid, "RssAnon")


def peak_rss_bytes() -> int:
    """The most that was resident of this process; `getrusage` would tell its parent's where larger."""
    return _status_bytes(os.getpid(), "VmHWM")


def is_alive(pid: int) -> bool:
    """Whether the process runs, is asleep or stopped, and not merely unburied."""
    return _state(pid) not in ("", "Z", "X")


def wait_until(is_so: Callable[[], bool], what: str) -> None:
    """Wait for something that happens elsewhere; the limit is only there to end a failing test."""
    given_up_s = time.monotonic() + _PATIENCE_S
    while not is_so():
        assert time.monotonic() < given_up_s, f"never happened: {what}"
        time.sleep(0.01)


def wait_until_gone(pids: Sequence[int]) -> None:
    wait_until(lambda: not any(map(is_alive, pids)), f"{pids} have ended")


@dataclass(slots=True)
class Strikes:
    """Signals to decode actors at seeded moments: a while after each of some steps arrived."""

    steps: frozenset[int]
    hit: list[int] = field(default_factory=list)
    """Process ids, in the order in which they were hit."""
    _due: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    _over: threading.Event = field(default_factory=threading.Event)

    def arrived(self, step: int) -> None:
        """To be called with each step."""
        if step in self.steps:
            self._due.release()

    def _run(self, rng: np.random.Generator, signal_number: signal.Signals) -> None:
        while not self._over.is_set():
            if not self._due.acquire(timeout=0.05):
                continue
            time.sleep(rng.uniform(0, 0.05))
            while not self._over.is_set():
                # One that was hit may be on the list until the kernel has done with it.
                alive = [pid for pid in decoders() if pid not in self.hit]
                if alive:
                    victim = alive[int(rng.integers(len(alive)))]
                    os.kill(victim, signal_number)
                    self.hit.append(victim)
                    break
                time.sleep(0.01)


@contextmanager
def striking(
    num_strikes: int, num_steps: int, seed: int, signal_number: signal.Signals = signal.SIGKILL
) -> Iterator[Strikes]:
    """Strike one random decode actor at each of `num_strikes` random moments of a run."""
    rng = np.random.default_rng(seed)
    # The last strike leaves time to do harm.
    edges = np.linspace(0, num_steps - 10, num_strikes + 1).astype(int)
    steps = [int(rng.integers(a, b)) for a, b in pairwise(edges)]
    strikes = Strikes(frozenset(steps))
    thread = threading.Thread(target=strikes._run, args=(rng, signal_number))
    thread.start()
    try:
        yield strikes
    finally:
        strikes._over.set()
        thread.join()


def _pids() -> Iterator[int]:
    return (int(folder.name) for folder in Path("/proc").iterdir() if folder.name.isdigit())


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def _ancestors(pid: int) -> set[int]:
    above: set[int] = set()
    while pid > 1:
        pid = int((_stat(pid) or ["Z", "0"])[1])
        above.add(pid)
    return above


def _state(pid: int) -> str:
    return (_stat(pid) or [""])[0]


def _stat(pid: int) -> list[str]:
    """State and parent, then the rest; nothing of a process that is gone."""
    try:
        # The name before them may hold blanks and brackets of its own.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _status_bytes(pid: int, name: str) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    fields = dict(line.split(":", 1) for line in lines)
    return int(fields[name].split()[0]) * 1024
