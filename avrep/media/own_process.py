"""Calls in a process of their own, which may crash or hang and cost only the call."""

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from types import TracebackType
from typing import Any, Generic, ParamSpec, Self, TypeVar

from avrep.errors import AvrepError, ConfigError, MediaError
from avrep.media.memory import limit_memory

# A new interpreter on a machine that is busy with many others.
_START_S = 120.0
# One death may have a cause outside, such as memory that others took; two are the call's own.
_MAX_DEATHS = 2

P = ParamSpec("P")
T = TypeVar("T")


class OwnProcess(Generic[P, T]):
    """One function, called again and again in another process, which is replaced when it dies.

    Args:
        function: importable, since a fresh interpreter runs it. What it takes and gives is pickled.
        max_memory_bytes: what the process may allocate beyond what it starts with, see
            `avrep.media.memory`.
    """

    def __init__(self, function: Callable[P, T], max_memory_bytes: int) -> None:
        self._function = function
        self._max_memory_bytes = max_memory_bytes
        self._process: BaseProcess | None = None
        self._pipe: Connection | None = None

    def call(self, deadline_s: float, *args: P.args, **kwargs: P.kwargs) -> T:
        """What the function returns, or the error that it raises.

        Raises:
            MediaError: stage "deadline" where it has not returned in time, "crash" where it ended
                its process twice.
            ConfigError: no process can be started.
        """
        for _ in range(_MAX_DEATHS):
            pipe = self._started()
            try:
                pipe.send((args, kwargs))
                if not pipe.poll(deadline_s):
                    self.close()
                    raise MediaError("deadline", f"not done within {deadline_s:.0f} s")
                result, error = pipe.recv()
            except (EOFError, BrokenPipeError, ConnectionResetError):
                self.close()
                continue
            if error is not None:
                raise error
            return result
        raise MediaError("crash", "decoding it ends the process that decodes it")

    def close(self) -> None:
        """End the process, whatever it is doing."""
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._process.close()
        if self._pipe is not None:
            self._pipe.close()
        self._process = self._pipe = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _started(self) -> Connection:
        if self._pipe is not None:
            return self._pipe
        # Spawned, not forked: the caller may have threads, whose locks a fork would copy.
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        work = (self._function, self._max_memory_bytes, theirs)
        self._process = context.Process(target=_serve, args=work, daemon=True)
        with interrupts_for_parent_alone():
            self._process.start()
        theirs.close()
        with contextlib.suppress(EOFError, ConnectionResetError):
            if self._pipe.poll(_START_S):
                self._pipe.recv()
                return self._pipe
        self.close()
        raise ConfigError(
            "a process to decode in cannot be started; a script must be a file and do its work "
            "under `if __name__ == '__main__':`"
        )


def _serve(function: Callable[..., Any], max_memory_bytes: int, pipe: Connection) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    limit_memory(max_memory_bytes)
    pipe.send(None)
    while True:
        try:
            args, kwargs = pipe.recv()
        except EOFError:
            return
        try:
            answer = function(*args, **kwargs), None
        except (AvrepError, OSError, MemoryError) as error:
            answer = None, error
        pipe.send(answer)


@contextlib.contextmanager
def interrupts_for_parent_alone() -> Iterator[None]:
    """Processes that are started meanwhile pass over a terminal's Ctrl-C, which reaches all: the one
    that started them knows what to do, when it has done starting them.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        with _interrupts_later():
            yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def _interrupts_later() -> Iterator[None]:
    """Put an interrupt off. A mask does not: another thread takes the signal, and Python then
    interrupts the main thread, whose half-started process would end in a traceback.
    """
    handler = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or handler is None:
        yield
        return
    noted: list[int] = []
    signal.signal(signal.SIGINT, lambda number, _: noted.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
        if noted:
            signal.raise_signal(signal.SIGINT)


def _end_with_parent() -> None:
    """A caller that is killed leaves nobody to read the answer: stop at once."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
