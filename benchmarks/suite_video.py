"""Two clips of each video: everybody beside everybody."""

from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.check import check
from benchmarks.contenders import CONTENDERS, RAY_DATA, Contender
from benchmarks.machine import describe_machine
from benchmarks.measure import in_child
from benchmarks.peers_pytorchvideo import import_pytorchvideo
from benchmarks.prepare import workloads
from benchmarks.results import SuiteResult
from benchmarks.rounds import Entry, quiet_ray, run_rounds
from benchmarks.suite_sound import import_decoders
from benchmarks.workload import SHORT_SIDE_PX, Workload

NUM_PASSES = 400
"""More than any contender gets through in a window."""


def run_video(work: Path, strides: set[int], *, quick: bool) -> SuiteResult:
    """Check that all give the same frames, then measure them in turns."""
    made = describe_machine()
    absent: dict[str, str] = {}
    found = workloads(work, strides, quick=quick, tell=absent.__setitem__)
    # Once, here: every child that is forked has it then.
    import_pytorchvideo()
    import_decoders()
    checks: dict[str, Any] = {}
    checked: set[Path] = set()
    entries: list[Entry] = []
    for number, workload in enumerate(found):
        for contender in CONTENDERS:
            if contender.on_packed and workload.packed is None:
                continue
            where = f"{contender.name} ({workload.name})"
            if contender.name == RAY_DATA and (quick or number):
                absent[where] = "so slow that it is measured once, at the first files, unhurried"
                continue
            if contender.gives_frames and (workload.catalog not in checked):
                outcome = _checked(contender, workload)
                if isinstance(outcome, str):
                    absent[where] = outcome
                    continue
                checks[where] = outcome
            entries.append(_entry(contender, workload))
        checked.add(workload.catalog)
    # Several passes even of the slowest files: what was made before a window, and what is half made
    # at its end, must be little beside what it counts.
    num_rounds, min_s = (2, 0.7) if quick else (3, 4.0)
    measured = run_rounds(entries, num_rounds, min_s)
    return SuiteResult(
        suite="video",
        made=made,
        settings={
            "num_rounds": num_rounds,
            "window_s": min_s,
            "short_side_px": SHORT_SIDE_PX,
            "num_frames": 16,
            "batch_items": 4,
            "files": {workload.name: len(workload.rows) for workload in found},
        },
        cells=tuple(measured.cells),
        absent=absent | measured.absent,
        checks=checks,
    )


def _entry(contender: Contender, workload: Workload) -> Entry:
    own = workload.on_packed() if contender.on_packed else workload
    if own is None:
        raise ValueError(f"{workload.name} is not packed")
    return Entry(
        workload=workload.name,
        contender=contender.name,
        open=partial(contender.open, own, NUM_PASSES),
        batches_per_pass=own.batches_per_pass,
        clips_per_batch=own.clips_per_batch,
        needs_ray=contender.needs_ray,
        only_first_round=contender.name == RAY_DATA,
    )


def _checked(contender: Contender, workload: Workload) -> dict[str, Any] | str:
    """How its frames compare, or why it cannot be measured."""
    try:
        return in_child(_check, contender, workload)
    except RuntimeError as error:
        return str(error)[:300]


def _check(contender: Contender, workload: Workload) -> dict[str, Any]:
    if not contender.needs_ray:
        return asdict(check(contender, workload))
    with quiet_ray():
        return asdict(check(contender, workload))
