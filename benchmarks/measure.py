"""One measurement: a window over whole passes of a running stream, and what it cost in CPU time.

Each measurement runs in a forked child of its own, so that contenders cannot wear down one another;
in it, workers start, deliver the first batches unmeasured, and then the clock runs over whole passes
of the corpus, so that every contender meets every file equally often.
"""

import contextlib
import multiprocessing
import os
import signal
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_PROC = Path("/proc")
_WARM_BATCHES = 4
"""The batches that two workers hold ready when nobody takes them are no measure of their speed."""

OpenStream = Callable[[], AbstractContextManager[Iterator[object]]]
"""Opens a stream of batches."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What one window showed."""

    num_clips: int
    wall_s: float
    cpu_s: float
    """CPU seconds of this process and all below it, in the window."""
    first_batch_s: float
    """From opening to the first batch."""

    @property
    def clips_per_s(self) -> float:
        return self.num_clips / self.wall_s

    @property
    def cpu_ms_per_clip(self) -> float:
        return 1e3 * self.cpu_s / self.num_clips


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """The median of some figures and the range of their middle half."""

    median: float
    low: float
    high: float


def spread(values: list[float]) -> Spread:
    """The median and the quartiles, which for fewer than three values are the extremes."""
    if len(values) < 3:
        return Spread(median=statistics.median(values), low=min(values), high=max(values))
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return Spread(median=median, low=low, high=high)


def measure_window(
    open_stream: OpenStream,
    *,
    batches_per_pass: int,
    clips_per_batch: int,
    min_s: float,
    warm_s: float = 0.0,
) -> Sample:
    """Take whole passes from a stream until `min_s` seconds are over.

    Args:
        open_stream: what to measure; it must last for as long.
        batches_per_pass: batches that go once through the corpus.
        clips_per_batch: clips in each.
        min_s: the window is at least this long.
        warm_s: what is taken in this time after the first batch is not counted, nor are the first
            few batches.
    """
    opened_s = time.perf_counter()
    with open_stream() as stream:
        next(stream)
        first_batch_s = time.perf_counter() - opened_s
        warm_until_s = time.perf_counter() + warm_s
        num_warm = 1
        while num_warm < _WARM_BATCHES or time.perf_counter() < warm_until_s:
            next(stream)
            num_warm += 1
        num_batches = 0
        cpu_began, began_s = cpu_times(), time.perf_counter()
        while True:
            for _ in range(batches_per_pass):
                next(stream)
            num_batches += batches_per_pass
            wall_s = time.perf_counter() - began_s
            if wall_s >= min_s:
                break
        cpu_s = cpu_between_s(cpu_began, cpu_times())
    return Sample(
        num_clips=num_batches * clips_per_batch,
        wall_s=wall_s,
        cpu_s=cpu_s,
        first_batch_s=first_batch_s,
    )


def in_child(work: Callable[..., Any], *args: Any, limit_s: float = 300.0) -> Any:
    """Run `work` in a forked child and give what it returns.

    Raises:
        RuntimeError: it raised, ended or took longer than `limit_s`; the message says which.
    """
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=_run, args=(sender, work, args))
    child.start()
    sender.close()
    try:
        if not receiver.poll(limit_s):
            _kill_tree(child.pid or 0)
            raise RuntimeError(f"took longer than {limit_s:.0f} s")
        result = receiver.recv()
    except EOFError:
        child.join()
        raise RuntimeError(f"its process ended with status {child.exitcode}") from None
    finally:
        child.join(10)
        if child.is_alive():
            _kill_tree(child.pid or 0)
            child.join()
    if isinstance(result, _Failed):
        raise RuntimeError(result.reason)
    return result


@dataclass(frozen=True, slots=True, kw_only=True)
class CpuTimes:
    """CPU clock ticks of one process so far."""

    parent: int
    own: int
    reaped: int
    """Of its children that have ended and that it has waited for, and of theirs."""


def cpu_times(root: int | None = None) -> dict[int, CpuTimes]:
    """The times of a process, this one by default, and of all below it; Linux only."""
    times: dict[int, CpuTimes] = {}
    for folder in _PROC.iterdir():
        if not folder.name.isdigit():
            continue
        try:
            # The name, in brackets, may hold anything; the numbers follow it.
            fields = (folder / "stat").read_text(errors="replace").rpartition(")")[2].split()
        except OSError:
            continue
        user, system, user_reaped, system_reaped = (int(field) for field in fields[11:15])
        times[int(folder.name)] = CpuTimes(
            parent=int(fields[1]), own=user + system, reaped=user_reaped + system_reaped
        )
    inside = {root or os.getpid()}
    while more := {pid for pid, each in times.items() if each.parent in inside} - inside:
        inside |= more
    return {pid: times[pid] for pid in inside if pid in times}


def cpu_between_s(before: dict[int, CpuTimes], after: dict[int, CpuTimes]) -> float:
    """CPU seconds used between two moments by the processes of the later one and their ended children.

    A process that ends takes its time with it, unless its parent waits for it and inherits all of
    it, what it used before the first moment too: hence not the difference of two sums.
    """
    ticks = 0
    for pid, now in after.items():
        then = before.get(pid, CpuTimes(parent=now.parent, own=0, reaped=0))
        gone = [
            each.own + each.reaped
            for child, each in before.items()
            if each.parent == pid and child not in after
        ]
        ticks += now.own - then.own + max(0, now.reaped - then.reaped - sum(gone))
    return ticks / os.sysconf("SC_CLK_TCK")


def _kill_tree(root: int) -> None:
    """End a process and all below it, which would go on without it."""
    for pid in {root, *cpu_times(root)}:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


@dataclass(frozen=True, slots=True)
class _Failed:
    reason: str


def _run(sender: Any, work: Callable[..., Any], args: tuple[Any, ...]) -> None:
    try:
        sender.send(work(*args))
    except Exception as error:
        lines = f"{type(error).__name__}: {error}".strip().splitlines()
        sender.send(_Failed(lines[0]))
