"""What was measured of one method with one seed, as JSON on disk."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True, kw_only=True)
class Hits:
    """A score for each held-out item, in [0, 1]."""

    keys: tuple[str, ...]
    values: npt.NDArray[np.float64]
    clusters: tuple[str, ...]
    """Items with the same name are not independent of one another."""
    weights: None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One question asked of one method, trained with one seed."""

    method: str
    question: str
    """What is counted, such as "motion class, linear probe"."""
    seed: int
    keys: list[str]
    clusters: list[str]
    trained: list[float]
    """A score for each key."""
    untrained: list[float]
    """Of the same encoder before its first step."""
    baseline: list[float] | None = None
    """Of the hand-made baseline."""
    baseline_name: str = ""
    chance: float
    note: str = ""
    """What a reader must know of how it was counted."""
    facts: dict[str, float] = field(default_factory=dict)
    """Numbers by name, such as "steps" and "cpu_s"."""
    made: dict[str, Any] = field(default_factory=dict)
    """Commit, machine, date."""

    def hits(self, which: str) -> Hits:
        """Of "trained", "untrained" or "baseline"."""
        values = np.array(getattr(self, which), np.float64)
        return Hits(keys=tuple(self.keys), values=values, clusters=tuple(self.clusters))


def write_cells(path: Path, cells: list[Cell]) -> None:
    """Write the cells of one method and seed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    partial.write_text(json.dumps([asdict(cell) for cell in cells], indent=1), encoding="utf-8")
    partial.replace(path)


def read_cells(paths: Iterable[Path]) -> list[Cell]:
    """The cells of the files among these that are there."""
    return [
        Cell(**cell)
        for path in paths
        if path.is_file()
        for cell in json.loads(path.read_text(encoding="utf-8"))
    ]
