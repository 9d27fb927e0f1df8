"""A pool grows until nobody waits, shrinks while the work fits in fewer, and never flaps."""

from itertools import pairwise
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avrep.cluster import pool_size
from avrep.cluster.decode_pool import DecodePool
from avrep.cluster.pool_size import PoolSizer, wanted_size

shares = st.floats(0, 1)
sizes = st.integers(1, 64)
bounds = st.tuples(sizes, sizes).map(sorted)


@pytest.mark.parametrize(
    ("size", "share", "num_busy", "wanted"),
    [
        (4, 0.05, 4.0, 4),
        (4, 0.11, 4.0, 5),
        # A fifth of the time is waiting: what 4 do in a step must be done in four fifths of it.
        (4, 0.2, 4.0, 5),
        (4, 0.4, 4.0, 7),
        (4, 0.5, 4.0, 8),
        (4, 1.0, 4.0, 8),
        (4, 0.0, 2.5, 4),
        (4, 0.0, 2.0, 3),
        # Somebody does wait a little.
        (4, 0.03, 2.0, 4),
        (1, 0.0, 0.0, 1),
    ],
)
def test_sizes_worked_by_hand(size: int, share: float, num_busy: float, wanted: int) -> None:
    found = wanted_size(size, least=1, most=32, waiting_share=share, num_busy=num_busy)
    assert found == wanted


@given(sizes, bounds, shares, shares)
def test_bounds_hold(size: int, within: list[int], share: float, busy: float) -> None:
    least, most = within
    wanted = wanted_size(size, least=least, most=most, waiting_share=share, num_busy=busy * size)
    assert least <= wanted <= most
    assert wanted <= max(least, 2 * size)
    assert wanted >= min(most, size - 1)


@given(sizes, bounds, st.lists(shares, min_size=2, max_size=2), shares)
def test_more_waiting_and_more_work_want_no_fewer(
    size: int, within: list[int], pair: list[float], other: float
) -> None:
    least, most = within
    low, high = sorted(pair)

    def wanted(share: float, busy: float) -> int:
        return wanted_size(size, least=least, most=most, waiting_share=share, num_busy=busy * size)

    assert wanted(low, other) <= wanted(high, other)
    assert wanted(other, low) <= wanted(other, high)


@given(sizes, shares, shares)
def test_one_measure_moves_it_one_way(size: int, share: float, busy: float) -> None:
    """Even if what was measured did not change with the size."""
    seen = [size]
    for _ in range(100):
        found = wanted_size(
            seen[-1], least=1, most=64, waiting_share=share, num_busy=busy * seen[-1]
        )
        seen.append(found)
    assert seen[-1] == seen[-2]
    assert seen in (sorted(seen), sorted(seen, reverse=True))


@given(sizes, bounds, st.floats(0.01, 10), st.floats(0.01, 100))
def test_a_trainer_and_its_pool_come_to_rest(
    size: int, within: list[int], own_s: float, work_s: float
) -> None:
    """A step takes as long as its slower side: the trainer's own time, or the work shared out."""
    least, most = within
    seen = [min(most, max(least, size))]
    for _ in range(80):
        step_s = max(own_s, work_s / seen[-1])
        seen.append(
            wanted_size(
                seen[-1],
                least=least,
                most=most,
                waiting_share=1 - own_s / step_s,
                num_busy=work_s / step_s,
            )
        )
    last = seen[-1]
    assert last == seen[-2]
    assert seen in (sorted(seen), sorted(seen, reverse=True))
    # Nine tenths of the ceiling, if so many were allowed.
    assert last == most or work_s / last <= own_s / 0.9 * 1.001
    # None too many by more than what keeps it from flapping.
    assert last == least or last == seen[0] or work_s / (last - 1) > 0.69 * own_s


class ScriptedPool(DecodePool):
    """As large as it was made, at once."""

    def __init__(self, size: int, least: int, most: int) -> None:
        self.size, self.least, self.most = size, least, most
        self.num_tended = 0
        self.changing = False

    def __len__(self) -> int:
        return self.size

    @property
    def is_changing(self) -> bool:
        return self.changing

    def grow(self, num_actors: int) -> None:
        self.size += num_actors

    def shrink(self, num_actors: int) -> None:
        self.size -= num_actors

    def tend(self) -> None:
        self.num_tended += 1


class Training:
    """A trainer of one second a step, fed by a pool that shares `work_s` out."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, pool: ScriptedPool) -> None:
        self.now_s = 0.0
        monkeypatch.setattr(pool_size, "time", SimpleNamespace(perf_counter=lambda: self.now_s))
        self._pool = pool
        self._sizer = PoolSizer(pool)

    def steps(self, num_steps: int, work_s: float, own_s: float = 1.0) -> list[int]:
        seen: list[int] = []
        for _ in range(num_steps):
            step_s = max(own_s, work_s / self._pool.size)
            self.now_s += step_s
            self._sizer.given(step_s - own_s, work_s)
            seen.append(self._pool.size)
        return seen


def test_it_follows_the_work_slowly_downwards(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = ScriptedPool(1, 1, 6)
    training = Training(monkeypatch, pool)
    # The first batch is not measured, the next three are of the pool before, ten are a window.
    assert training.steps(13, work_s=3.5) == [1] * 13
    assert training.steps(40, work_s=3.5)[::13] == [2, 4, 4, 4]
    assert training.steps(100, work_s=3.5) == [4] * 100
    assert training.steps(100, work_s=60.0)[-1] == 6
    down = training.steps(500, work_s=1.5)
    assert down[-1] == 3
    assert {before - after for before, after in pairwise(down)} == {0, 1}
    # Six windows before each.
    assert min(down.count(size) for size in (6, 5, 4)) > 60
    assert pool.num_tended == 753


def test_a_pause_is_no_reason_to_shrink(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every fifty steps the trainer writes a checkpoint for a minute."""
    pool = ScriptedPool(4, 1, 6)
    training = Training(monkeypatch, pool)
    for _ in range(20):
        assert set(training.steps(49, work_s=3.5)) == {4}
        training.steps(1, work_s=3.5, own_s=60.0)


def test_nothing_is_decided_while_it_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = ScriptedPool(1, 1, 6)
    training = Training(monkeypatch, pool)
    pool.changing = True
    assert training.steps(100, work_s=3.5) == [1] * 100
    pool.changing = False
    assert training.steps(13, work_s=3.5) == [1] * 12 + [2]
