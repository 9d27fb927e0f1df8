"""What was measured, as it is kept: one JSON file a suite."""

import json
import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.measure import Sample, Spread, spread


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One contender at one workload."""

    workload: str
    contender: str
    samples: tuple[Sample | None, ...]
    """One a round, None in a round in which it was not measured."""

    @property
    def clips_per_s(self) -> Spread:
        return spread([sample.clips_per_s for sample in self._taken])

    @property
    def cpu_ms_per_clip(self) -> Spread:
        return spread([sample.cpu_ms_per_clip for sample in self._taken])

    @property
    def first_batch_s(self) -> float:
        return statistics.median(sample.first_batch_s for sample in self._taken)

    @property
    def _taken(self) -> list[Sample]:
        return [sample for sample in self.samples if sample is not None]


@dataclass(frozen=True, slots=True, kw_only=True)
class SuiteResult:
    """Everything that one suite found."""

    suite: str
    made: dict[str, Any]
    """See `describe_machine`."""
    settings: dict[str, Any]
    cells: tuple[Cell, ...] = ()
    absent: dict[str, str] = field(default_factory=dict)
    """Contender, with its workload where it matters -> why it was not measured."""
    checks: dict[str, Any] = field(default_factory=dict)
    """Contender -> how its output compares with avrep's."""
    facts: tuple[dict[str, Any], ...] = ()
    """Rows of a table of another form."""

    @property
    def workloads(self) -> list[str]:
        return list(dict.fromkeys(cell.workload for cell in self.cells))

    def cell(self, workload: str, contender: str) -> Cell | None:
        for cell in self.cells:
            if (cell.workload, cell.contender) == (workload, contender):
                return cell
        return None


def clips_per_cpu_s(sample: Sample) -> float:
    """What a noisy neighbour disturbs less than clips a second."""
    return sample.num_clips / sample.cpu_s


def _clips_per_s(sample: Sample) -> float:
    return sample.clips_per_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A ratio that was aimed at, and what came out."""

    text: str
    workload: str
    ratio: Spread
    by_cpu: Spread
    """The same by CPU time, all processes counted; the verdict does not rest on it."""
    at_least: float

    @property
    def is_met(self) -> bool:
        return self.ratio.median >= self.at_least


def ratio(
    above: Cell, below: Sequence[Cell], speed: Callable[[Sample], float] = _clips_per_s
) -> Spread | None:
    """How many times as fast a contender is as the fastest of others, round by round.

    A noisy neighbour slows a whole round: within it, contenders can be compared. The fastest of the
    others is the one with the best median, not the luckiest of each round.
    """
    if not below:
        return None
    best = max(below, key=lambda cell: cell.clips_per_s.median)
    both = [
        (speed(a), speed(b))
        for a, b in zip(above.samples, best.samples, strict=True)
        if a is not None and b is not None
    ]
    return spread([ours / theirs for ours, theirs in both]) if both else None


def write_result(folder: Path, result: SuiteResult) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{result.suite}.json"
    path.write_text(json.dumps(asdict(result), indent=1) + "\n", encoding="utf-8")
    return path


def read_results(folder: Path) -> list[SuiteResult]:
    """All suites' results in a folder, in the order of their names."""
    return [_parsed(json.loads(path.read_text("utf-8"))) for path in sorted(folder.glob("*.json"))]


def _parsed(tree: dict[str, Any]) -> SuiteResult:
    cells = tuple(
        Cell(
            workload=cell["workload"],
            contender=cell["contender"],
            samples=tuple(sample and Sample(**sample) for sample in cell["samples"]),
        )
        for cell in tree["cells"]
    )
    return SuiteResult(**{**tree, "cells": cells, "facts": tuple(tree["facts"])})
