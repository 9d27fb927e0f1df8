"""The share of its ceiling that a trainer reaches when the stream feeds it."""

import statistics
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.machine import describe_machine
from benchmarks.measure import in_child
from benchmarks.prepare import NUM_SYNTHETIC, SYNTHETIC, synthetic_catalog, workloads
from benchmarks.results import SuiteResult
from benchmarks.rounds import quiet_ray
from benchmarks.trainer import StepTime, cached, fed, quickstart

CEILING, CEILING_ALL = "one cached batch", "one cached batch, all cores"
FED, FED_PACKED = "the stream", "the stream, packed"


def run_trainer(work: Path, *, quick: bool) -> SuiteResult:
    """The quickstart recipe's step, on a batch that is there and on batches that must come."""
    made = describe_machine()
    absent: dict[str, str] = {}
    path = synthetic_catalog(work)
    found = workloads(work, {2}, quick=True, tell=absent.__setitem__)
    packed = next((workload.packed for workload in found), None)
    batch_items = min(32, NUM_SYNTHETIC)
    num_steps, num_rounds = (6, 1) if quick else (12, 3)
    config = quickstart(path, batch_items)
    attempts: dict[str, Any] = {
        CEILING: (cached, config, num_steps),
        CEILING_ALL: (cached, config, num_steps, made["num_cores"]),
        FED: (_fed, config, num_steps),
    }
    if packed is not None:
        attempts[FED_PACKED] = (_fed, quickstart(packed, batch_items), num_steps)
    times: dict[str, list[StepTime]] = {name: [] for name in attempts}
    for _ in range(num_rounds):
        for name, (work_of, *args) in attempts.items():
            if name in absent:
                continue
            try:
                times[name].append(in_child(work_of, *args))
            except RuntimeError as error:
                absent[name] = str(error)[:300]
    facts = tuple(
        {
            "fed_by": name,
            **asdict(
                StepTime(
                    steps_per_s=statistics.median(one.steps_per_s for one in taken),
                    wait_share=statistics.median(one.wait_share for one in taken),
                )
            ),
        }
        for name, taken in times.items()
        if taken
    )
    settings = {"corpus": SYNTHETIC, "batch_items": batch_items, "num_rounds": num_rounds}
    return SuiteResult(suite="trainer", made=made, settings=settings, absent=absent, facts=facts)


def _fed(config: Any, num_steps: int) -> StepTime:
    with quiet_ray():
        return fed(config, num_steps)
