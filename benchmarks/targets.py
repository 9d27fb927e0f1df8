"""The ratios that the stream aims at, each between two contenders of one run."""

from benchmarks.contenders import (
    BOUND_EACH,
    BOUND_UNION,
    PACKED,
    PLAIN,
    PROCESSES,
    PYTORCHVIDEO,
    SOURCES,
)
from benchmarks.results import SuiteResult, Target, clips_per_cpu_s, ratio

_AIMS = (
    ("sources / the better pytorchvideo", SOURCES, PYTORCHVIDEO, 3.0),
    ("sources / the best plain DataLoader", SOURCES, PLAIN, 1.3),
    ("packed / the better pytorchvideo on the sources", PACKED, PYTORCHVIDEO, 10.0),
    ("sources / the bound", SOURCES, (BOUND_EACH, BOUND_UNION), 0.8),
    ("sources on Ray / in plain processes", SOURCES, (PROCESSES,), 0.9),
)


def targets(result: SuiteResult) -> list[Target]:
    """Each aim at each workload where both sides were measured."""
    found = []
    for text, name, others, at_least in _AIMS:
        for workload in result.workloads:
            above = result.cell(workload, name)
            below = [cell for other in others if (cell := result.cell(workload, other))]
            if above is None:
                continue
            reached, by_cpu = ratio(above, below), ratio(above, below, clips_per_cpu_s)
            if reached is not None and by_cpu is not None:
                found.append(
                    Target(
                        text=text,
                        workload=workload,
                        ratio=reached,
                        by_cpu=by_cpu,
                        at_least=at_least,
                    )
                )
    return found
