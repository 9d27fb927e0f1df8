"""What one process may allocate, and what it keeps for its next allocation."""

import ctypes
import sys
from pathlib import Path

_STATUS = Path("/proc/self/status")
# Numbers of glibc's mallopt(3).
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
# The largest that glibc takes.
_MAX_FROM_HEAP_BYTES = 32 * 2**20


def limit_memory(max_bytes: int) -> None:
    """From now on, let this process allocate at most `max_bytes` beyond what it holds.

    Media is untrusted: it must not take the machine's memory.

    The soft limit on the data segment (RLIMIT_DATA, which counts all private writable memory
    since Linux 4.7) is set to its present size plus `max_bytes`, or to the hard limit where that
    is lower. An allocation over it fails; `decode_views` makes a `MediaError` of that. Threads cost
    the size of their stacks, so start them before.

    Linux only: elsewhere it does nothing, and only `DecodeLimits.max_pixels` and
    `max_output_bytes` bound what a file may cost.
    """
    if sys.platform != "linux":
        return
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    soft = _held_bytes() + max_bytes
    if hard != resource.RLIM_INFINITY:
        soft = min(soft, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def reuse_freed_memory(keep_bytes: int = 64 * 2**20) -> None:
    """From now on, keep up to `keep_bytes` of freed memory instead of giving them back at once.

    A decoder allocates and frees some MB for every clip. As glibc comes, it returns them each time,
    and the kernel zeroes every page anew: a fifth of the CPU time of clips that decode in 5 ms.

    With glibc only: elsewhere it does nothing.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _MAX_FROM_HEAP_BYTES)
        mallopt(_M_TRIM_THRESHOLD, keep_bytes)


def _held_bytes() -> int:
    fields = dict(line.split(":", 1) for line in _STATUS.read_text().splitlines())
    return int(fields["VmData"].split()[0]) * 1024
