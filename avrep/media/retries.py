"""Asking a store again: exponential waits with full jitter, a bounded number of times."""

import time
import zlib
from collections.abc import Callable
from typing import TypeVar

from avrep import rng
from avrep.errors import AvrepError, ShardError
from avrep.media.faults import PassingFault, asked_wait_s, may_pass, reason_of, without_secrets
from avrep.media.storage import StorageConfig
from avrep.types import Address

T = TypeVar("T")

_LONGEST_WAIT_S = 20.0


def retried(operation: Callable[[], T], name: str, storage: StorageConfig, verb: str = "read") -> T:
    """What the operation gives; where it fails for a reason that may pass, it is tried again.

    Args:
        operation: one attempt. Any exception is the store's fault, except avrep's own errors and
            a want of memory, which pass through.
        name: what is read, for the error and for the waits.
        storage: how often, and how long to wait.
        verb: what is done, for the error.

    Raises:
        ShardError: at once for a fault that cannot pass, else after the last attempt.
    """
    for attempt in range(1, storage.max_attempts + 1):
        try:
            return operation()
        except (AvrepError, MemoryError):
            raise
        except Exception as error:
            if not may_pass(error):
                raise ShardError(
                    f"cannot {verb} {without_secrets(name)}: {reason_of(error)}"
                ) from error
            if attempt == storage.max_attempts:
                raise ShardError(_given_up(name, attempt, error, verb)) from error
            time.sleep(wait_s(name, attempt, storage, asked_wait_s(error)))
    raise AssertionError("the last attempt returns or raises")


def wait_s(name: str, attempt: int, storage: StorageConfig, asked_s: float = 0.0) -> float:
    """Seconds to wait after an attempt: anything between none and `first_wait_s` doubled each time.

    Full jitter spreads readers that failed together over the whole interval (Brooker, "Exponential
    backoff and jitter", AWS Architecture Blog, 2015). A wait that the store asks for is the least.

    Args:
        name: what is read; different objects wait differently.
        attempt: the attempt that failed, from 1.
        storage: `first_wait_s` is used.
        asked_s: the store's Retry-After; followed up to 20 s.
    """
    longest_s = min(_LONGEST_WAIT_S, storage.first_wait_s * 2.0 ** (attempt - 1))
    # The seed is the object's own, so that this touches no draw of a run.
    generator = rng.at(zlib.crc32(name.encode()), rng.Stage.PLAN, Address(attempt, 0))
    return max(longest_s * generator.random(), min(asked_s, _LONGEST_WAIT_S))


def _given_up(name: str, num_attempts: int, error: Exception, verb: str) -> str:
    tried = "1 attempt" if num_attempts == 1 else f"{num_attempts} attempts"
    mend = "" if isinstance(error, PassingFault) else "; is the store up, and reachable from here?"
    return f"cannot {verb} {without_secrets(name)}: {tried}, the last: {reason_of(error)}{mend}"
