"""Holding part of a labelled set out: by whole groups, and never a class's last group."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt


def hold_out(
    labels: Sequence[str],
    groups: Sequence[str | None] | None,
    fraction: float,
    rng: np.random.Generator,
) -> npt.NDArray[np.bool_]:
    """Which rows to hold out, about `fraction` of each class.

    Groups are taken whole, across classes, so held-out rows share a group with no other row; a
    row whose group is None stands alone. Groups are visited in an order drawn from `rng`, and one
    is held out when that brings the classes' shares nearer to `fraction`; then a class still
    without held-out rows gets its first spare group. Every class keeps a group in the rest, so a
    class with one group is never held out, and where no group can be spared nothing is.
    (avrep default: the field's protocols name no rule.)

    Args:
        labels: class of each row.
        groups: group of each row, or None when there are no groups.
        fraction: share to hold out, in (0, 1).
        rng: decides the order only.

    Returns:
        bool[n], True where held out; all False when no group can be spared.
    """
    if not 0 < fraction < 1:
        raise ValueError(f"fraction must be in (0, 1), got {fraction}")
    units = _units(len(labels), groups)
    counts = _counts(labels, units)
    held = _choose(counts, fraction, rng.permutation(len(counts)))
    return held[units]


def _units(num_rows: int, groups: Sequence[str | None] | None) -> npt.NDArray[np.int64]:
    """Number of the indivisible unit of each row, in order of first appearance."""
    names = [
        (row, None) if groups is None or groups[row] is None else (-1, groups[row])
        for row in range(num_rows)
    ]
    numbers = {name: number for number, name in enumerate(dict.fromkeys(names))}
    return np.array([numbers[name] for name in names], dtype=np.int64)


def _counts(labels: Sequence[str], units: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Rows of each class in each unit, int64[units classes]."""
    _, classes = np.unique(np.asarray(labels, dtype=np.str_), return_inverse=True)
    counts = np.zeros((int(units.max(initial=-1)) + 1, int(classes.max(initial=-1)) + 1), np.int64)
    np.add.at(counts, (units, classes), 1)
    return counts


def _choose(
    counts: npt.NDArray[np.int64], fraction: float, order: npt.NDArray[np.int64]
) -> npt.NDArray[np.bool_]:
    """Which units to hold out, visited in `order`."""
    totals = counts.sum(axis=0)
    target = fraction * totals
    units_left = (counts > 0).sum(axis=0)
    held_rows = np.zeros_like(totals)
    held = np.zeros(len(counts), np.bool_)

    def spare(unit: int) -> bool:
        return not held[unit] and bool(np.all(units_left[counts[unit] > 0] > 1))

    def take(unit: int) -> None:
        held[unit] = True
        held_rows[:] += counts[unit]
        units_left[:] -= counts[unit] > 0

    for unit in order.tolist():
        before = ((held_rows - target) ** 2 / totals).sum()
        after = ((held_rows + counts[unit] - target) ** 2 / totals).sum()
        if after < before and spare(unit):
            take(unit)
    for label in range(len(totals)):
        if held_rows[label] == 0:
            unit = next((u for u in order.tolist() if counts[u, label] and spare(u)), None)
            if unit is not None:
                take(unit)
    return held


def num_held_groups(held: npt.NDArray[np.bool_], groups: Sequence[str | None] | None) -> int:
    """How many indivisible units (groups, or rows that stand alone) were held out."""
    return len(np.unique(_units(len(held), groups)[held]))
