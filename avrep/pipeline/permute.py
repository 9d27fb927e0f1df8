"""A permutation of any size, computed one place at a time: no table, no state."""

import numpy as np
import numpy.typing as npt

from avrep import rng
from avrep.types import Address

_NUM_ROUNDS = 6


def permute(
    positions: npt.NDArray[np.int64], size: int, seed: int, name: Address
) -> npt.NDArray[np.int64]:
    """Where each position of [0, size) goes in the permutation of a given name.

    A balanced Feistel network over the next even power of two, walked along its cycle until it
    falls inside [0, size) (Black and Rogaway, "Ciphers with arbitrary finite domains", CT-RSA
    2002): fewer than four rounds of walking on average, and no table.

    Args:
        positions: int64[n], any of [0, size).
        size: how many there are to permute.
        seed: the run's seed.
        name: tells one permutation from another.
    """
    half_bits = max(1, (max(size - 1, 1).bit_length() + 1) // 2)
    keys = rng.at(seed, rng.Stage.PLAN, name).integers(0, 2**64, size=_NUM_ROUNDS, dtype=np.uint64)
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
