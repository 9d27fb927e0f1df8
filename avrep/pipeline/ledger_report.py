"""What a check of a ledger finds: counts, and the first few faults of each kind."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

FaultKind = Literal["missing", "doubled", "wrong", "out of place"]

_EXAMPLES_OF_A_KIND = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerFault:
    """One place of the plan where the ledger has something else, or nothing."""

    kind: FaultKind
    step: int
    place: int
    """Row of the step's global batch."""
    found: str
    """What is wrong there, in words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerReport:
    """What a check found. A row of the ledger has one kind of fault at most."""

    num_steps: int
    """From 0 to the last that has to be there."""
    num_items: int
    """Rows of the ledger."""
    num_substitutes: int
    """Rows that hold a substitute for the planned item, and the right one."""
    num_missing: int
    """Places of the plan without a row."""
    num_doubled: int
    """Rows beyond the first of a place; and items that the plan visits twice in an epoch."""
    num_wrong: int
    """Rows that hold neither the planned item nor a substitute for it, or another key than the
    catalogue has, or for which the plan has no place."""
    num_out_of_place: int
    """Rows whose item is planned for another place, nearby; and right ones that came after a later
    one, or to a rank that the place does not belong to."""
    faults: tuple[LedgerFault, ...]
    """The first few of each kind, by kind, then as they were met."""

    @property
    def is_whole(self) -> bool:
        """Whether every planned item reached the trainer once, in its place."""
        return not (self.num_missing + self.num_doubled + self.num_wrong + self.num_out_of_place)


@dataclass(slots=True, kw_only=True)
class LedgerTally:
    """A report in the making."""

    num_items: int = 0
    num_substitutes: int = 0
    num_faults: dict[FaultKind, int] = field(
        default_factory=lambda: {"missing": 0, "doubled": 0, "wrong": 0, "out of place": 0}
    )
    faults: list[LedgerFault] = field(default_factory=list)

    def count(self, kind: FaultKind, number: int, first: Iterable[tuple[int, int, str]]) -> None:
        """Add faults of one kind; of the first ones, (step, place, words). Only few are drawn."""
        self.num_faults[kind] += number
        room = _EXAMPLES_OF_A_KIND - sum(fault.kind == kind for fault in self.faults)
        for _, (step, place, found) in zip(range(room), first, strict=False):
            self.faults.append(LedgerFault(kind=kind, step=step, place=place, found=found))

    def report(self, num_steps: int) -> LedgerReport:
        kinds = list(self.num_faults)
        return LedgerReport(
            num_steps=num_steps,
            num_items=self.num_items,
            num_substitutes=self.num_substitutes,
            num_missing=self.num_faults["missing"],
            num_doubled=self.num_faults["doubled"],
            num_wrong=self.num_faults["wrong"],
            num_out_of_place=self.num_faults["out of place"],
            faults=tuple(sorted(self.faults, key=lambda fault: kinds.index(fault.kind))),
        )
