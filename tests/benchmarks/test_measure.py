"""A window takes whole passes, a child's failure becomes a message, and CPU time counts children."""

import multiprocessing
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from multiprocessing.synchronize import Event

import pytest

from benchmarks.measure import CpuTimes, cpu_between_s, cpu_times, in_child, measure_window


def burn(cpu_s: float) -> None:
    while time.process_time() < cpu_s:
        pass


def burnt_in_children() -> tuple[float, float]:
    """CPU seconds of the tree while one child is alive, and when it has ended."""
    before = cpu_times()
    context = multiprocessing.get_context("fork")
    has_burnt = context.Event()
    child = context.Process(target=burn_then_sleep, args=(has_burnt,))
    child.start()
    has_burnt.wait(60)
    alive_s = cpu_between_s(before, cpu_times())
    child.terminate()
    child.join()
    return alive_s, cpu_between_s(before, cpu_times())


def burn_then_sleep(has_burnt: Event) -> None:
    burn(0.5)
    has_burnt.set()
    time.sleep(100)


def test_cpu_time_counts_children_alive_and_ended() -> None:
    alive_s, ended_s = in_child(burnt_in_children)
    assert 0.4 <= alive_s <= ended_s


def burnt_before_and_after(burn_after_s: float, is_waited_for: bool) -> float:
    """CPU seconds after a moment at which a child had burnt half a second."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL if is_waited_for else signal.SIG_IGN)
    context = multiprocessing.get_context("fork")
    has_burnt, may_end = context.Event(), context.Event()
    child = context.Process(target=burn_in_two_parts, args=(has_burnt, may_end, burn_after_s))
    child.start()
    has_burnt.wait(60)
    before = cpu_times()
    may_end.set()
    child.join()
    return cpu_between_s(before, cpu_times())


def burn_in_two_parts(has_burnt: Event, may_end: Event, burn_after_s: float) -> None:
    burn(0.5)
    has_burnt.set()
    may_end.wait(60)
    burn(0.5 + burn_after_s)


def test_what_an_ended_child_used_before_the_window_is_not_counted() -> None:
    assert 0.2 <= in_child(burnt_before_and_after, 0.3, True) < 0.45
    # One that nobody waits for takes its time with it: nothing is known of it, and nothing owed.
    assert 0 <= in_child(burnt_before_and_after, 0.0, False) < 0.15


def test_cpu_time_by_hand() -> None:
    def times(parent: int, own: int, reaped: int) -> CpuTimes:
        return CpuTimes(parent=parent, own=own, reaped=reaped)

    # 2 ended with 50 more on its clock, and 1 waited for it; 3 began; 4 vanished.
    before = {1: times(0, 100, 10), 2: times(1, 200, 0), 4: times(3, 900, 0)}
    after = {1: times(0, 130, 260), 3: times(1, 7, 0)}
    ticks_per_s = os.sysconf("SC_CLK_TCK")
    assert cpu_between_s(before, after) * ticks_per_s == pytest.approx(30 + 50 + 7)


def cpu_of_a_nap_s() -> float:
    began = cpu_times()
    time.sleep(0.2)
    return cpu_between_s(began, cpu_times())


def test_sleeping_costs_no_cpu_time() -> None:
    # In a child: this process may have others, Ray's among them, that work meanwhile.
    assert in_child(cpu_of_a_nap_s) < 0.15


def test_a_window_takes_whole_passes_after_the_first_batches() -> None:
    taken: list[int] = []

    @contextmanager
    def stream() -> Iterator[Iterator[int]]:
        yield (taken.append(number) or number for number in count())
        taken.append(-1)

    sample = measure_window(stream, batches_per_pass=3, clips_per_batch=8, min_s=0.0)
    assert sample.num_clips == 3 * 8
    # Four to warm up, one pass, and the stream was closed.
    assert taken == [*range(4 + 3), -1]


def test_a_window_goes_on_until_its_time_is_over() -> None:
    @contextmanager
    def stream() -> Iterator[Iterator[None]]:
        yield (time.sleep(0.01) for _ in count())

    sample = measure_window(stream, batches_per_pass=2, clips_per_batch=1, min_s=0.05)
    assert sample.wall_s >= 0.05
    assert sample.num_clips % 2 == 0
    assert sample.clips_per_s == sample.num_clips / sample.wall_s


def test_a_child_gives_back_what_its_work_gives() -> None:
    assert in_child(sum, [1, 2, 3]) == 6
    assert in_child(os.getpid) != os.getpid()


def test_a_child_that_raises_ends_or_hangs_is_told_of() -> None:
    with pytest.raises(RuntimeError, match="ValueError: invalid literal"):
        in_child(int, "x")
    with pytest.raises(RuntimeError, match="ended with status 3"):
        in_child(os._exit, 3)
    with pytest.raises(RuntimeError, match="longer than 0 s"):
        in_child(time.sleep, 100, limit_s=0.1)
