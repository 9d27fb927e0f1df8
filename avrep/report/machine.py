"""What this process may use of the machine: cores and memory as its control groups limit them.

Inside a container the machine's own numbers are those of the host, and a pool of decoders sized by
them is slow at best and killed at worst.
"""

import os
from collections.abc import Iterator
from pathlib import Path

_PROC = Path("/proc")
_CGROUPS = Path("/sys/fs/cgroup")


def usable_cores(proc: Path = _PROC, cgroups: Path = _CGROUPS) -> float:
    """Cores that this process may keep busy: its affinity, cut down by any quota of CPU time."""
    if hasattr(os, "sched_getaffinity"):
        cores = float(len(os.sched_getaffinity(0)))
    else:
        cores = float(os.cpu_count() or 1)
    for folder in _groups("cpu", proc, cgroups):
        quota, _, period = _read(folder / "cpu.max").partition(" ")
        if not quota:
            quota, period = (_read(folder / f"cpu.cfs_{n}_us") for n in ("quota", "period"))
        if quota.isdigit() and period.isdigit() and int(period) > 0:
            cores = min(cores, int(quota) / int(period))
    return cores


def free_memory_bytes(proc: Path = _PROC, cgroups: Path = _CGROUPS) -> int | None:
    """Bytes that this process can still take before something is killed; None where not known.

    The page cache counts as free: the kernel gives it up when asked.
    """
    free = _meminfo(proc, "MemAvailable")
    for folder in _groups("memory", proc, cgroups):
        for limit, used, cache in (
            ("memory.max", "memory.current", "inactive_file"),
            ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
        ):
            most, now = _read(folder / limit), _read(folder / used)
            # No limit is "max" or, in the old form, a number beyond any machine.
            if most.isdigit() and now.isdigit() and int(most) < 1 << 60:
                left = max(0, int(most) - int(now) + _stat(folder / "memory.stat", cache))
                free = left if free is None else min(free, left)
    return free


def _groups(controller: str, proc: Path, cgroups: Path) -> Iterator[Path]:
    """The folders that may limit this process, its own group's first, up to the root."""
    for line in _read(proc / "self" / "cgroup").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if not controllers:
            roots = (cgroups, cgroups / "unified")
        elif controller in controllers.split(","):
            roots = (cgroups / controllers, cgroups / controller)
        else:
            continue
        parts = [part for part in path.split("/") if part and part != ".."]
        for root in roots:
            for count in range(len(parts), -1, -1):
                yield root.joinpath(*parts[:count])


def _meminfo(proc: Path, name: str) -> int | None:
    for line in _read(proc / "meminfo").splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    return None


def _stat(path: Path, name: str) -> int:
    for line in _read(path).splitlines():
        key, _, value = line.partition(" ")
        if key == name and value.isdigit():
            return int(value)
    return 0


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""
