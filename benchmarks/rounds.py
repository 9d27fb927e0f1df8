"""Rounds over contenders: each round meets the same noise, and no contender always comes first."""

import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from benchmarks.measure import OpenStream, Sample, in_child, measure_window
from benchmarks.results import Cell

_RAY_WARM_S = 2.0
"""Ray starts workers beside those in use, whose start would be counted as cost of the clips."""
_NUM_SLOTS = 5
"""For four decode actors at most; cores are the machine's own, however many slots there are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One contender at one workload, ready to be opened."""

    workload: str
    contender: str
    open: OpenStream
    batches_per_pass: int
    clips_per_batch: int
    needs_ray: bool = False
    only_first_round: bool = False
    """Too slow to be measured more than once."""


@dataclass(slots=True)
class Measured:
    """The samples so far, and what failed."""

    cells: list[Cell] = field(default_factory=list)
    absent: dict[str, str] = field(default_factory=dict)


def run_rounds(entries: Sequence[Entry], num_rounds: int, min_s: float) -> Measured:
    """Measure all entries in turns; one that fails is left out from then on, with its reason."""
    samples: dict[int, list[Sample | None]] = {number: [] for number in range(len(entries))}
    failed: dict[int, str] = {}
    for round_number in range(num_rounds):
        for group in _groups(entries):
            due = [
                number
                for number in group
                if number not in failed and not (round_number and entries[number].only_first_round)
            ]
            outcomes = _measure_group([entries[number] for number in due], min_s)
            for number, outcome in zip(due, outcomes, strict=True):
                entry = entries[number]
                if isinstance(outcome, str):
                    failed[number] = outcome
                    _say(
                        f"round {round_number + 1}: {entry.workload}: {entry.contender}: {outcome}"
                    )
                else:
                    samples[number].append(outcome)
                    speed = f"{outcome.clips_per_s:.1f} clips/s"
                    _say(f"round {round_number + 1}: {entry.workload}: {entry.contender}: {speed}")
        for taken in samples.values():
            taken += [None] * (round_number + 1 - len(taken))
    measured = Measured()
    for number, entry in enumerate(entries):
        if number in failed:
            measured.absent[f"{entry.contender} ({entry.workload})"] = failed[number]
        elif any(samples[number]):
            cell = Cell(
                workload=entry.workload,
                contender=entry.contender,
                samples=tuple(samples[number]),
            )
            measured.cells.append(cell)
    return measured


@contextmanager
def quiet_ray() -> Iterator[None]:
    """A Ray of one's own, as avrep starts it, whatever other Ray runs on the machine."""
    import ray

    from avrep.pipeline.stream import PREFETCH_BYTES

    ray.init(
        address="local",
        num_cpus=_NUM_SLOTS,
        include_dashboard=False,
        object_store_memory=3 * PREFETCH_BYTES,
        log_to_driver=False,
        logging_level=logging.ERROR,
    )
    try:
        yield
    finally:
        ray.shutdown()


def _groups(entries: Sequence[Entry]) -> list[list[int]]:
    """Neighbours that need Ray share one, as starting it takes longer than measuring."""
    groups: list[list[int]] = []
    for number, entry in enumerate(entries):
        before = entries[number - 1] if number else None
        shares = entry.needs_ray and before is not None and before.needs_ray
        if shares and before is not None and before.workload == entry.workload:
            groups[-1].append(number)
        else:
            groups.append([number])
    return groups


def _measure_group(group: Sequence[Entry], min_s: float) -> list[Sample | str]:
    if not group:
        return []
    work: Callable[..., list[Sample | str]] = _with_ray if group[0].needs_ray else _each
    try:
        return in_child(work, group, min_s, limit_s=180.0 * len(group))
    except RuntimeError as error:
        return [str(error)] * len(group)


def _with_ray(group: Sequence[Entry], min_s: float) -> list[Sample | str]:
    with quiet_ray():
        return _each(group, min_s)


def _each(group: Sequence[Entry], min_s: float) -> list[Sample | str]:
    outcomes: list[Sample | str] = []
    for entry in group:
        try:
            outcomes.append(
                measure_window(
                    entry.open,
                    batches_per_pass=entry.batches_per_pass,
                    clips_per_batch=entry.clips_per_batch,
                    min_s=min_s,
                    warm_s=_RAY_WARM_S if entry.needs_ray else 0.0,
                )
            )
        except Exception as error:
            text = f"{type(error).__name__}: {error}".strip().splitlines()
            outcomes.append(text[0][:300])
    return outcomes


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
