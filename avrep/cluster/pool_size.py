"""How many decode actors a stream has: more while its trainer waits, fewer when they have little to do.

Who waits is measured where batches are handed on, so nothing need be told by the trainer: the time
between asking for a batch and getting it is waiting, the rest of a step is the trainer's own.
"""

import math
import time
from dataclasses import dataclass

from avrep.cluster.decode_pool import DecodePool

# Nine tenths of the speed on a batch that is there already is what a trainer is to be fed for.
_GROW_ABOVE = 0.1
_SHRINK_BELOW = 0.02
# What actors do beside decoding, messages and copies, is not counted as work and has to fit too.
_MAX_BUSY = 0.7
_WINDOW_STEPS = 10
_WINDOW_S = 5.0
# Parts asked for before the pool changed were cut for as many actors as there were.
_SETTLING_STEPS = 3
# A pause in the training, for a checkpoint or a probe, looks like actors that have little to do.
_IDLE_WINDOWS = 6


def wanted_size(size: int, *, least: int, most: int, waiting_share: float, num_busy: float) -> int:
    """How many actors to have after some steps.

    Where the trainer waits for a share w of its time, what the actors do in a step has to be done in
    the (1 - w) of it that the trainer needs: by size / (1 - w) actors, at most twice as many at a
    time. Where it does not wait, one is let go if the others could do the work with room to spare;
    in between, nothing changes. So a pool that was grown until nobody waits is not shrunk again, and
    one that was shrunk still has nobody waiting.

    Args:
        size: how many there are.
        least: how many there must be.
        most: how many there may be.
        waiting_share: of the trainer's time, from 0 to 1.
        num_busy: how many actors' whole time the work took; at most `size`.
    """
    wanted = size
    if waiting_share > _GROW_ABOVE:
        wanted = math.ceil(size / (1 - min(waiting_share, 0.5)))
    elif waiting_share < _SHRINK_BELOW and num_busy < _MAX_BUSY * (size - 1):
        wanted = size - 1
    return min(most, max(least, wanted))


@dataclass(slots=True)
class _Window:
    """Sums over steps."""

    num_steps: int = -_SETTLING_STEPS
    """Below 0: of steps that are left out."""
    elapsed_s: float = 0.0
    waited_s: float = 0.0
    busy_s: float = 0.0

    def add(self, elapsed_s: float, waited_s: float, busy_s: float) -> None:
        self.num_steps += 1
        if self.num_steps > 0:
            self.elapsed_s += elapsed_s
            self.waited_s += waited_s
            self.busy_s += busy_s

    @property
    def is_full(self) -> bool:
        return self.num_steps >= _WINDOW_STEPS and self.elapsed_s >= _WINDOW_S


class PoolSizer:
    """Keeps a pool as large as its trainer needs it."""

    def __init__(self, pool: DecodePool) -> None:
        self._pool = pool
        self._window = _Window()
        self._num_idle_windows = 0
        self._given_s: float | None = None

    def given(self, waited_s: float, busy_s: float) -> None:
        """Told of each batch when it is handed on.

        Args:
            waited_s: since the trainer asked for it.
            busy_s: what making it took, summed over the actors.
        """
        self._pool.tend()
        before_s, self._given_s = self._given_s, time.perf_counter()
        if before_s is None or self._pool.is_changing:
            # The first batch waits for the actors' start.
            self._window = _Window()
            return
        self._window.add(self._given_s - before_s, waited_s, busy_s)
        if self._window.is_full:
            self._decide()

    def _decide(self) -> None:
        window, size = self._window, len(self._pool)
        wanted = wanted_size(
            size,
            least=self._pool.least,
            most=self._pool.most,
            waiting_share=window.waited_s / window.elapsed_s,
            num_busy=window.busy_s / window.elapsed_s,
        )
        self._num_idle_windows = self._num_idle_windows + 1 if wanted < size else 0
        if wanted > size:
            self._pool.grow(wanted - size)
        elif self._num_idle_windows >= _IDLE_WINDOWS:
            self._pool.shrink(size - wanted)
            self._num_idle_windows = 0
        self._window = _Window()
