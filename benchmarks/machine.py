"""On what, of what and when something was measured."""

import os
import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from avrep.environment import describe_environment


def describe_machine() -> dict[str, Any]:
    """Commit, date, processor, cores, memory, load and versions, as JSON can hold them."""
    known = describe_environment(torch.device("cpu"))
    cores = (
        os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
    )
    return {
        "date": datetime.now(UTC).isoformat(timespec="minutes"),
        "commit": known.pop("commit"),
        "processor": str(known.pop("device")).removeprefix("cpu: "),
        "num_cores": len(cores),
        "memory_gib": _memory_gib(),
        "load_before": round(os.getloadavg()[0], 1),
        "system": platform.platform(terse=True),
        "versions": {k: v for k, v in known.items() if k not in {"platform", "num_threads"}},
    }


def _memory_gib() -> float | None:
    info = Path("/proc/meminfo")
    if not info.is_file():
        return None
    return round(int(info.read_text(encoding="ascii").split()[1]) / 2**20, 1)
