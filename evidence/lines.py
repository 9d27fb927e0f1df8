"""A method's answer to a question: its seeds put together, with intervals."""

from collections.abc import Sequence
from dataclasses import dataclass

from avrep.evaluation.aggregate import combine
from avrep.evaluation.metrics import Interval
from evidence.cells import Cell


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A method's answer to a question, over its seeds."""

    method: str
    question: str
    num_seeds: int
    chance: float
    trained: Interval
    untrained: Interval
    baseline: Interval | None
    baseline_name: str
    over_untrained: Interval
    over_baseline: Interval | None
    note: str
    cells: tuple[Cell, ...]

    @property
    def verdict(self) -> str:
        """What the intervals say, in a few words."""
        against = [("the untrained encoder", self.over_untrained)]
        if self.over_baseline is not None:
            against.append(("the hand-made baseline", self.over_baseline))
        better = [name for name, gain in against if gain.low > 0]
        worse = [name for name, gain in against if gain.high < 0]
        if len(better) == len(against):
            return "learned"
        said = [f"better than {' and '.join(better)}"] if better else []
        said += [f"worse than {' and '.join(worse)}"] if worse else []
        unclear = [name for name, gain in against if gain.low <= 0 <= gain.high]
        said += [f"not told from {' and '.join(unclear)}"] if unclear else []
        return "; ".join(said)


def lines_of(cells: Sequence[Cell]) -> list[Line]:
    """The cells put together by method and question, in the order in which these come."""
    groups: dict[tuple[str, str], list[Cell]] = {}
    for cell in cells:
        groups.setdefault((cell.question, cell.method), []).append(cell)
    questions = list(dict.fromkeys(cell.question for cell in cells))
    asked = sorted(groups.items(), key=lambda entry: questions.index(entry[0][0]))
    return [_line(group) for _, group in asked]


def _line(group: Sequence[Cell]) -> Line:
    first = group[0]
    has_baseline = all(cell.baseline is not None for cell in group)

    def over_seeds(which: str, less: str | None = None) -> Interval:
        runs = [cell.hits(which) for cell in group]
        base = [cell.hits(less) for cell in group] if less else None
        return combine(runs, base, "mean of seeds" if len(runs) > 1 else "videos", seed=0)

    return Line(
        method=first.method,
        question=first.question,
        num_seeds=len(group),
        chance=first.chance,
        trained=over_seeds("trained"),
        untrained=over_seeds("untrained"),
        baseline=over_seeds("baseline") if has_baseline else None,
        baseline_name=first.baseline_name,
        over_untrained=over_seeds("trained", "untrained"),
        over_baseline=over_seeds("trained", "baseline") if has_baseline else None,
        note=first.note,
        cells=tuple(group),
    )
