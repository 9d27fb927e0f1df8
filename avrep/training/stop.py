"""A run that is told to stop ends the step that it is in, and writes a checkpoint first."""

import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)

_log = logging.getLogger(__name__)


class StopAsked:
    """Whether the process was told to stop."""

    number: int | None = None
    """The signal that told it."""

    def __call__(self) -> bool:
        return self.number is not None


@contextmanager
def stop_signals() -> Iterator[StopAsked]:
    """Note the first SIGINT or SIGTERM while the context lasts; what comes after acts as ever.

    A person presses Ctrl-C; a scheduler that takes its machine back sends SIGTERM some seconds
    before. Outside the main thread, which alone is told of signals, none is noted.
    """
    asked = StopAsked()
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return
    before = {number: signal.getsignal(number) for number in _SIGNALS}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def note(number: int, _frame: FrameType | None) -> None:
        asked.number = number
        restore()
        _log.warning("stopping when this step is done, with a checkpoint; once more stops at once")

    try:
        for number in _SIGNALS:
            signal.signal(number, note)
        yield asked
    finally:
        restore()
