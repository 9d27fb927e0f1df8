"""An epoch's order: blocks of neighbours are permuted, then the items inside a window of blocks.

Neighbours in a catalogue are neighbours in a shard, so a block is one long read. A window is as
many blocks as are open at the same time. Both are permuted by functions, not tables: any place of
any epoch is found in constant time. A corpus that fits into one window is permuted as a whole.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from pydantic import Field

from avrep import rng
from avrep.frozen import FrozenConfig
from avrep.pipeline.permute import permute
from avrep.types import Address

# What a permutation of an epoch is for: the draw of the address that names it.
_BLOCKS, _WINDOW, _ROTATION = 0, 1, 2


class ShuffleConfig(FrozenConfig):
    """How well items are mixed against how long reads are."""

    block_items: int = Field(default=4, ge=1, le=2**16)
    """Neighbours in the catalogue that are read together. 1 mixes as well as can be, and reads each
    item by itself."""
    window_blocks: int = Field(default=256, ge=1, le=2**20)
    """Blocks that are open at a time; items are mixed among these."""


class Order(NamedTuple):
    """Which items stand at some places of an epoch."""

    items: npt.NDArray[np.int64]
    """Numbers in [0, num_items), in storage order."""
    blocks: npt.NDArray[np.int64]
    """The block of each, numbered in the order in which the epoch opens them."""


def order(
    places: npt.NDArray[np.int64], num_items: int, config: ShuffleConfig, seed: int, epoch: int
) -> Order:
    """The items at the given places of an epoch.

    Each epoch cuts the corpus into blocks from another first item, round the end, so that the same
    neighbours do not always share a block. What is left over is a short block, which comes last.

    Args:
        places: int64[n], any of [0, num_items).
        num_items: in the corpus.
        config: sizes of blocks and windows.
        seed: the run's seed.
        epoch: which epoch.
    """
    per_window = config.block_items * config.window_blocks
    windows, inside = places // per_window, places % per_window
    for window in np.unique(windows).tolist():
        here = windows == window
        size = min(per_window, num_items - window * per_window)
        inside[here] = permute(inside[here], size, seed, Address(epoch, window, _WINDOW))
    blocks = windows * config.window_blocks + inside // config.block_items
    first = _first_items(blocks, num_items, config, seed, epoch)
    return Order((first + inside % config.block_items) % num_items, blocks)


def block_items(
    block: int, num_items: int, config: ShuffleConfig, seed: int, epoch: int
) -> npt.NDArray[np.int64]:
    """The items of one block of an epoch, in storage order (round the end of the corpus).

    Args:
        block: its number in the order in which the epoch opens them.
        num_items: in the corpus.
        config: sizes of blocks and windows.
        seed: the run's seed.
        epoch: which epoch.
    """
    first = int(_first_items(np.array([block]), num_items, config, seed, epoch)[0])
    is_short = block == num_items // config.block_items
    size = num_items % config.block_items if is_short else config.block_items
    return (first + np.arange(size)) % num_items


def _first_items(
    blocks: npt.NDArray[np.int64], num_items: int, config: ShuffleConfig, seed: int, epoch: int
) -> npt.NDArray[np.int64]:
    num_full = num_items // config.block_items
    stored = blocks.copy()
    full = blocks < num_full
    stored[full] = permute(blocks[full], num_full, seed, Address(epoch, 0, _BLOCKS))
    generator = rng.at(seed, rng.Stage.PLAN, Address(epoch, 0, _ROTATION))
    return stored * config.block_items + generator.integers(num_items)
