"""Results as a person compares them: pretrained beside untrained, and what the difference shows."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from avrep.evaluation.results import EvalRow


class Verdict(StrEnum):
    """What a difference with its interval shows, in plain words."""

    BETTER = "better, outside the interval"
    WORSE = "worse, outside the interval"
    NOT_SHOWN = "no difference shown"
    NOT_MEASURED = "difference not measured"


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One measurement: the same task, label, metric, fold and seed for every encoder."""

    pretrained: EvalRow | None = None
    untrained: EvalRow | None = None
    difference: EvalRow | None = None
    """Pretrained minus untrained, on the same videos."""

    @property
    def rows(self) -> tuple[EvalRow, ...]:
        """Those that there are, the encoders before the difference."""
        return tuple(r for r in (self.pretrained, self.untrained, self.difference) if r)

    @property
    def chance(self) -> float | None:
        """What features that know nothing score; a difference alone does not say."""
        return next((r.chance for r in (self.pretrained, self.untrained) if r), None)

    @property
    def verdict(self) -> Verdict:
        """On which side of zero the difference's interval lies; every metric is better larger."""
        row = self.difference
        if row is None:
            return Verdict.NOT_MEASURED
        if row.ci_low > 0:
            return Verdict.BETTER
        return Verdict.WORSE if row.ci_high < 0 else Verdict.NOT_SHOWN

    @property
    def clears_chance(self) -> bool:
        """The pretrained encoder's own interval lies above chance (true where it was not measured)."""
        return self.pretrained is None or self.pretrained.ci_low > self.pretrained.chance


def compare(rows: Sequence[EvalRow]) -> tuple[Comparison, ...]:
    """Puts the rows of one measurement side by side, in the order in which they first appear.

    A measurement that appears twice gives two comparisons: nothing is replaced.
    """
    found: dict[tuple[object, ...], Comparison] = {}
    for row in rows:
        place = (row.task, row.protocol, row.label, row.metric, row.fold, row.over, row.seed)
        repeat = 0
        while _holds(found.get((*place, repeat)), row):
            repeat += 1
        have = found.get((*place, repeat), Comparison())
        found[(*place, repeat)] = replace(have, **{row.encoder: row})
    return tuple(found.values())


def _holds(comparison: Comparison | None, row: EvalRow) -> bool:
    return comparison is not None and any(r.encoder == row.encoder for r in comparison.rows)
