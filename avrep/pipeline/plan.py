"""The plan: which address each row of each step has, as a pure function.

Every epoch is a permutation of the usable rows, computed one index at a time, so that nothing is
stored and any step is reached in constant time. A step's global batch does not depend on how many
ranks share it: rank r takes the r-th contiguous part.
"""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from avrep import rng
from avrep.errors import ConfigError
from avrep.types import Address, RowNumbers

_NUM_ROUNDS = 6

# Draws below this are planned; a substitute's are above, so it never repeats a planned address.
_FIRST_SUBSTITUTE_DRAW = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a run reads, in which order."""

    seed: int
    rows: RowNumbers = field(repr=False)
    """Catalogue rows that the run may use."""
    global_batch: int
    """Items in a step over all ranks. The last n % global_batch items of an epoch's order wait for
    a later epoch, whose order is another."""

    def __post_init__(self) -> None:
        if not 1 <= self.global_batch <= len(self.rows):
            raise ConfigError(
                f"batch size {self.global_batch} must be between 1 and the number of usable items, "
                f"{len(self.rows)}; set train.batch_size"
            )

    @property
    def steps_per_epoch(self) -> int:
        return len(self.rows) // self.global_batch


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


def addresses(
    plan: Plan | Sweep, step: int, rank: int = 0, world_size: int = 1
) -> tuple[Address, ...]:
    """The addresses of one rank's part of one step, in order.

    Raises:
        ConfigError: the ranks cannot share the global batch evenly.
    """
    if isinstance(plan, Sweep):
        rows = plan.rows[step * plan.batch_size : (step + 1) * plan.batch_size]
        return tuple(Address(0, int(row)) for row in rows[rank::world_size])
    if plan.global_batch % world_size:
        raise ConfigError(
            f"batch size {plan.global_batch} does not divide among {world_size} ranks; "
            f"set train.batch_size to a multiple of {world_size}"
        )
    local_batch = plan.global_batch // world_size
    epoch, step_in_epoch = divmod(step, plan.steps_per_epoch)
    first = step_in_epoch * plan.global_batch + rank * local_batch
    positions = np.arange(first, first + local_batch)
    shuffled = permute(positions, len(plan.rows), plan.seed, epoch)
    return tuple(Address(epoch, int(row)) for row in plan.rows[shuffled])


def substitute(plan: Plan, address: Address, attempt: int) -> Address:
    """The address that takes the place of one whose item failed: a function of that address.

    Args:
        plan: the run's plan.
        address: the planned address.
        attempt: 1 for the first substitute, 2 when that failed too, and so on.
    """
    generator = rng.at(plan.seed, rng.Stage.PLAN, address, lane=attempt)
    row = plan.rows[generator.integers(len(plan.rows))]
    return Address(address.epoch, int(row), draw=_FIRST_SUBSTITUTE_DRAW + attempt)


def permute(
    positions: npt.NDArray[np.int64], size: int, seed: int, epoch: int
) -> npt.NDArray[np.int64]:
    """Where each position of [0, size) goes in the epoch's permutation.

    A balanced Feistel network over the next even power of two, walked along its cycle until it
    falls inside [0, size) (Black and Rogaway, "Ciphers with arbitrary finite domains", CT-RSA
    2002): fewer than four rounds of walking on average, and no table.
    """
    half_bits = max(1, (max(size - 1, 1).bit_length() + 1) // 2)
    keys = rng.at(seed, rng.Stage.PLAN, Address(epoch, 0)).integers(
        0, 2**64, size=_NUM_ROUNDS, dtype=np.uint64
    )
    values = _feistel(positions.astype(np.uint64), half_bits, keys)
    outside = values >= size
    while outside.any():
        values[outside] = _feistel(values[outside], half_bits, keys)
        outside = values >= size
    return values.astype(np.int64)


def _feistel(
    values: npt.NDArray[np.uint64], half_bits: int, keys: npt.NDArray[np.uint64]
) -> npt.NDArray[np.uint64]:
    mask = np.uint64((1 << half_bits) - 1)
    shift = np.uint64(half_bits)
    left, right = values >> shift, values & mask
    for key in keys:
        left, right = right, left ^ (_mix(right ^ key) & mask)
    return (left << shift) | right


def _mix(values: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """The finaliser of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014): every bit moves every bit."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
