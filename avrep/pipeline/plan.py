"""The plan: which addresses each step has, as a pure function.

Every epoch is an order of the usable rows, computed one place at a time (`pipeline.shuffle`), so
that nothing is stored and any step is reached in constant time. A step's global batch does not
depend on how many ranks share it: rank r takes the r-th contiguous part.
"""

from dataclasses import dataclass, field

import numpy as np

from avrep import rng
from avrep.errors import ConfigError
from avrep.pipeline.shuffle import ShuffleConfig, block_items, order
from avrep.types import Address, RowNumbers

FIRST_SUBSTITUTE_DRAW = 1 << 20
"""Draws below this are planned; a substitute's are above, so it never repeats a planned address."""

MAX_SUBSTITUTES = 15
"""Substitutes tried for one visit before the corpus, not the item, is to blame."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a run reads, in which order."""

    seed: int
    rows: RowNumbers = field(repr=False)
    """Catalogue rows that the run may use."""
    global_batch: int
    """Draws in a step over all ranks. The last items of an epoch's order that fill no batch wait
    for a later epoch, whose order is another."""
    draws_per_visit: int = 1
    """Draws made of an item each time that it is visited: it is fetched and decoded once for all."""
    shuffle: ShuffleConfig = field(default_factory=ShuffleConfig)

    def __post_init__(self) -> None:
        if self.global_batch % self.draws_per_visit:
            raise ConfigError(
                f"batch size {self.global_batch} is not a multiple of data.draws_per_visit="
                f"{self.draws_per_visit}; set train.batch_size to a multiple"
            )
        if not 1 <= self.visits_per_step <= len(self.rows):
            raise ConfigError(
                f"batch size {self.global_batch} must be between 1 and "
                f"{len(self.rows) * self.draws_per_visit}, the number of usable items"
                f"{' times draws' if self.draws_per_visit > 1 else ''}; set train.batch_size"
            )

    @property
    def visits_per_step(self) -> int:
        return self.global_batch // self.draws_per_visit

    @property
    def steps_per_epoch(self) -> int:
        return len(self.rows) // self.visits_per_step


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """Every row once, in order, for evaluation: an item that fails is reported, not replaced."""

    seed: int
    rows: RowNumbers = field(repr=False)
    batch_size: int

    @property
    def num_steps(self) -> int:
        """The last step may be shorter than the others."""
        return -(-len(self.rows) // self.batch_size)


@dataclass(frozen=True, slots=True)
class Visit:
    """One item that a step reads, once for all its draws."""

    address: Address
    """Of its first draw."""
    block: int | None = None
    """Number of the item's block in the epoch; None where items are read by themselves."""


def visits(plan: Plan | Sweep, step: int, rank: int = 0, world_size: int = 1) -> tuple[Visit, ...]:
    """The visits of one rank's part of one step, in order.

    Those of one step stand in the order of their blocks, so that a contiguous part of a step, which
    is what a rank or a decode actor reads, has few blocks, and the same ones for a while.

    Raises:
        ConfigError: the ranks cannot share the global batch evenly.
    """
    if isinstance(plan, Sweep):
        rows = plan.rows[step * plan.batch_size : (step + 1) * plan.batch_size]
        return tuple(Visit(Address(0, int(row))) for row in rows[rank::world_size])
    if plan.visits_per_step % world_size:
        each = (
            f"{world_size} times data.draws_per_visit" if plan.draws_per_visit > 1 else world_size
        )
        raise ConfigError(
            f"batch size {plan.global_batch} does not divide among {world_size} ranks; "
            f"set train.batch_size to a multiple of {each}"
        )
    epoch, step_in_epoch = divmod(step, plan.steps_per_epoch)
    places = step_in_epoch * plan.visits_per_step + np.arange(plan.visits_per_step)
    items, blocks = order(places, len(plan.rows), plan.shuffle, plan.seed, epoch)
    sorted_places = np.argsort(blocks, kind="stable")
    size = plan.visits_per_step // world_size
    mine = sorted_places[rank * size : (rank + 1) * size]
    return tuple(
        Visit(Address(epoch, int(row)), int(block))
        for row, block in zip(plan.rows[items[mine]], blocks[mine], strict=True)
    )


def draws(plan: Plan | Sweep, visited: Address) -> tuple[Address, ...]:
    """The addresses that one visit makes; `visited` is the first of them."""
    count = plan.draws_per_visit if isinstance(plan, Plan) else 1
    return tuple(
        Address(visited.epoch, visited.item, visited.draw + number) for number in range(count)
    )


def addresses(
    plan: Plan | Sweep, step: int, rank: int = 0, world_size: int = 1
) -> tuple[Address, ...]:
    """The addresses of one rank's part of one step, in order.

    Raises:
        ConfigError: the ranks cannot share the global batch evenly.
    """
    return tuple(
        address
        for visit in visits(plan, step, rank, world_size)
        for address in draws(plan, visit.address)
    )


def block_rows(plan: Plan, epoch: int, block: int) -> RowNumbers:
    """The catalogue rows of a block, in the catalogue's order (round its end)."""
    return plan.rows[block_items(block, len(plan.rows), plan.shuffle, plan.seed, epoch)]


def substitute(plan: Plan, planned: Address, attempt: int) -> Address:
    """The first address of the visit that takes the place of one that failed.

    Args:
        plan: the run's plan.
        planned: the first address of the planned visit.
        attempt: 1 for the first substitute, 2 when that failed too, and so on; 0 is the planned
            address itself.
    """
    if attempt == 0:
        return planned
    generator = rng.at(plan.seed, rng.Stage.PLAN, planned, lane=attempt)
    row = plan.rows[generator.integers(len(plan.rows))]
    # Of its own for each visit that it may stand in for: two visits may draw the same row.
    number = planned.item * (MAX_SUBSTITUTES + 1) + attempt
    draw = FIRST_SUBSTITUTE_DRAW + number * plan.draws_per_visit
    return Address(planned.epoch, int(row), draw)


def is_substitute(address: Address) -> bool:
    """Whether the address stands in for another."""
    return address.draw >= FIRST_SUBSTITUTE_DRAW
