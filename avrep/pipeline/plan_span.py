"""The plan of many steps at once, as arrays: what a check of millions of rows compares with."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from avrep.pipeline.plan import MAX_SUBSTITUTES, Plan, draws, substitute
from avrep.pipeline.shuffle import order
from avrep.types import Address

_PLACES_AT_A_TIME = 1 << 16

_Ints = npt.NDArray[np.int64]
_Mask = npt.NDArray[np.bool_]


def planned_rows(plan: Plan, steps: range) -> Iterator[tuple[int, _Ints]]:
    """The catalogue rows that steps visit, a few steps of one epoch at a time.

    Args:
        plan: the run's plan.
        steps: ascending, without gaps.

    Yields:
        (epoch, int64[steps, visits of a step]): the items of `plan.visits`, for one rank.
    """
    at_a_time = max(1, _PLACES_AT_A_TIME // plan.visits_per_step)
    step = steps.start
    while step < steps.stop:
        epoch, step_in_epoch = divmod(step, plan.steps_per_epoch)
        count = min(at_a_time, steps.stop - step, plan.steps_per_epoch - step_in_epoch)
        first = step_in_epoch * plan.visits_per_step
        places = np.arange(first, first + count * plan.visits_per_step)
        found = order(places, len(plan.rows), plan.shuffle, plan.seed, epoch)
        shape = (count, plan.visits_per_step)
        by_block = np.argsort(found.blocks.reshape(shape), axis=1, kind="stable")
        yield epoch, np.take_along_axis(plan.rows[found.items].reshape(shape), by_block, axis=1)
        step += count


class PlanSpan:
    """Answers, of some steps, whether addresses are where the plan has them.

    Arrays of steps, places (rows of the global batch), epochs, items and draws: int64[n].

    Args:
        plan: the run's plan.
        steps: ascending, without gaps.
        rows: int64[steps, visits of a step], from `planned_rows`.
    """

    def __init__(self, plan: Plan, steps: range, rows: _Ints) -> None:
        self._plan = plan
        self._steps = steps
        self._rows = rows

    def has_place(self, steps: _Ints, places: _Ints) -> _Mask:
        """Whether the span has such places at all."""
        inside = (steps >= self._steps.start) & (steps < self._steps.stop)
        return inside & (places >= 0) & (places < self._plan.global_batch)

    def has_there(
        self, steps: _Ints, places: _Ints, epochs: _Ints, items: _Ints, drawn: _Ints
    ) -> _Mask:
        """Whether each address is the planned one of its place; the span has all the places."""
        visits, numbers = np.divmod(places, self._plan.draws_per_visit)
        rows = self._rows[steps - self._steps.start, visits]
        epochs_right = epochs == steps // self._plan.steps_per_epoch
        return epochs_right & (items == rows) & (drawn == numbers)

    def has_anywhere(self, epochs: _Ints, items: _Ints, drawn: _Ints) -> _Mask:
        """Whether each address is planned for any place of the span."""
        found = np.zeros(len(items), np.bool_)
        planned = (drawn >= 0) & (drawn < self._plan.draws_per_visit)
        row_epochs = np.arange(self._steps.start, self._steps.stop) // self._plan.steps_per_epoch
        for epoch in np.unique(epochs[planned]).tolist():
            of_epoch = planned & (epochs == epoch)
            found[of_epoch] = np.isin(items[of_epoch], self._rows[row_epochs == epoch])
        return found

    def substitutes_there(self, step: int, place: int, address: Address) -> bool:
        """Whether an address is one of those that may stand in at a place of the span."""
        visit, number = divmod(place, self._plan.draws_per_visit)
        row = int(self._rows[step - self._steps.start, visit])
        planned = Address(step // self._plan.steps_per_epoch, row)
        return any(
            draws(self._plan, substitute(self._plan, planned, attempt))[number] == address
            for attempt in range(1, MAX_SUBSTITUTES + 1)
        )
