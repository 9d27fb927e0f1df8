"""A method's answer to a question: its seeds put together, with intervals, kept as JSON."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self

from avrep.evaluation.aggregate import combine
from avrep.evaluation.metrics import Interval
from evidence.cells import Cell


class Share(NamedTuple):
    """A mean over seeds and items, and its interval of 95 %."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A method's answer to a question, over its seeds."""

    study: str
    """The recipe that it was trained by, and the name to have it measured again by."""
    recipe: str
    """That recipe's digest."""
    method: str
    question: str
    num_seeds: int
    chance: float
    trained: Share
    untrained: Share
    baseline: Share | None
    baseline_name: str
    verdict: str
    """What the intervals of the differences say, in a few words."""
    note: str
    steps: int
    cpu_s: float
    """Of one run, the mean over seeds."""
    commit: str
    machine: str

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> Self:
        """A line as `write_lines` wrote it."""
        shares = {
            name: Share(*told[name]) if told[name] is not None else None
            for name in ("trained", "untrained", "baseline")
        }
        return cls(**{**told, **shares})


def write_lines(path: Path, lines: Sequence[Line]) -> None:
    """Write all lines, so that a later command can measure some methods and keep the others."""
    partial = path.with_name(path.name + ".partial")
    partial.write_text(json.dumps([asdict(line) for line in lines], indent=1) + "\n", "utf-8")
    partial.replace(path)


def read_lines(path: Path) -> list[Line]:
    """The lines of a file; none if it is not there."""
    if not path.is_file():
        return []
    return [Line.from_json(line) for line in json.loads(path.read_text(encoding="utf-8"))]


def merge_lines(
    kept: Sequence[Line], measured: Sequence[Line], recipes: Mapping[str, str]
) -> list[Line]:
    """What was measured now, and of the studies that were not, what was kept.

    Args:
        kept: of earlier commands.
        measured: now.
        recipes: study -> digest of its recipe, in the order wanted. What a recipe gave that has
            changed since is left out.
    """
    renewed = {line.study for line in measured}
    lines = [*measured, *(line for line in kept if line.study not in renewed)]
    valid = [line for line in lines if recipes.get(line.study) == line.recipe]
    return sorted(valid, key=lambda line: list(recipes).index(line.study))


def lines_of(study: str, recipe: str, cells: Sequence[Cell]) -> list[Line]:
    """A study's cells put together by method and question, in the order in which these come.

    Args:
        study: its name.
        recipe: its recipe's digest.
        cells: of all its seeds.
    """
    groups: dict[tuple[str, str], list[Cell]] = {}
    for cell in cells:
        groups.setdefault((cell.question, cell.method), []).append(cell)
    return [_line(study, recipe, group) for group in groups.values()]


def _line(study: str, recipe: str, group: Sequence[Cell]) -> Line:
    first, last = group[0], group[-1]
    has_baseline = all(cell.baseline is not None for cell in group)

    def over_seeds(which: str, less: str | None = None) -> Interval:
        runs = [cell.hits(which) for cell in group]
        base = [cell.hits(less) for cell in group] if less else None
        return combine(runs, base, "mean of seeds" if len(runs) > 1 else "videos", seed=0)

    gains = {"the untrained encoder": over_seeds("trained", "untrained")}
    if has_baseline:
        gains["the hand-made baseline"] = over_seeds("trained", "baseline")
    return Line(
        study=study,
        recipe=recipe,
        method=first.method,
        question=first.question,
        num_seeds=len(group),
        chance=first.chance,
        trained=_share(over_seeds("trained")),
        untrained=_share(over_seeds("untrained")),
        baseline=_share(over_seeds("baseline")) if has_baseline else None,
        baseline_name=first.baseline_name,
        verdict=_verdict(gains),
        note=first.note,
        steps=round(first.facts.get("steps", 0)),
        cpu_s=sum(cell.facts.get("cpu_s", 0) for cell in group) / len(group),
        commit=str(last.made.get("commit", ""))[:12],
        machine=f"{last.made.get('processor', '')}, {last.made.get('num_cores', '')} cores",
    )


def _share(interval: Interval) -> Share:
    return Share(interval.value, interval.low, interval.high)


def _verdict(gains: Mapping[str, Interval]) -> str:
    """What it is better and worse than, of differences by what they were taken against."""
    better = [name for name, gain in gains.items() if gain.low > 0]
    worse = [name for name, gain in gains.items() if gain.high < 0]
    if len(better) == len(gains):
        return "learned"
    said = [f"better than {' and '.join(better)}"] if better else []
    said += [f"worse than {' and '.join(worse)}"] if worse else []
    unclear = [name for name, gain in gains.items() if gain.low <= 0 <= gain.high]
    said += [f"not told from {' and '.join(unclear)}"] if unclear else []
    return "; ".join(said)
