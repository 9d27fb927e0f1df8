"""An end to what may never return."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def ended_after(deadline_s: float) -> Iterator[None]:
    """End this process when the body takes longer; for processes that may die.

    The kernel does it: a decoder that never returns may hold the interpreter's lock, so nothing
    written in Python could.
    """
    signal.setitimer(signal.ITIMER_REAL, deadline_s)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


@contextmanager
def not_counted() -> Iterator[None]:
    """Time within `ended_after` that it does not count, as it is not the body's to shorten."""
    left_s, _ = signal.setitimer(signal.ITIMER_REAL, 0)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, left_s)
