"""Where a token sits, told to the network: fixed tables of sines, and learned separable tables.

A grid is (time, height, width) in places; its places are counted in row-major order.
"""

from collections.abc import Callable
from functools import lru_cache
from itertools import product
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from avrep.transfer import to_device

Grid = tuple[int, int, int]
PositionKind = Literal["sinusoid", "separable", "learned"]
Table = Callable[[Grid, int], npt.NDArray[np.float32]]
"""From a grid and a width to float32[places width]."""


def sinusoid_table(num_places: int, width: int) -> npt.NDArray[np.float32]:
    """Sines and cosines of a place's number, at wavelengths from 2 pi to 10000 * 2 pi.

    Entry 2i of place p is sin(p / 10000^(2i / width)), entry 2i + 1 the cosine of the same (Vaswani
    et al., arXiv 1706.03762, section 3.5). VideoMAE counts the places of a grid in row-major order,
    so neighbours in time or height are as far apart as their numbers.

    Returns:
        float32[num_places width].
    """
    entries = np.arange(width)
    angles = np.arange(num_places)[:, None] / 10000.0 ** (2 * (entries // 2) / width)
    return np.where(entries % 2 == 0, np.sin(angles), np.cos(angles)).astype(np.float32)


def separable_sinusoid_table(grid: tuple[int, ...], width: int) -> npt.NDArray[np.float32]:
    """A share of the entries for each axis: sines, then cosines, of the place along that axis.

    Every axis gets 2 * ceil(width / (2 * axes)) entries, with wavelengths as above; they are joined
    in the axes' order and cut off at `width`, as V-JEPA does where its axes have equal shares
    (arXiv 2404.08471, released code). For two axes and a width that is a multiple of 4 this is
    MAE's table (arXiv 2111.06377), but that MAE's code puts the share of the width first.

    Args:
        grid: places along each axis: (time, height, width), or (frequency, time) for sound.
        width: entries of a place.

    Returns:
        float32[places width], places in row-major order.
    """
    share = 2 * -(-width // (2 * len(grid)))
    rates = 10000.0 ** (-np.arange(share // 2) / (share / 2))
    places = np.array(list(product(*(range(length) for length in grid))), dtype=np.float64)
    angles = places[:, :, None] * rates
    table = np.concatenate([np.sin(angles), np.cos(angles)], axis=2)
    return table.reshape(len(places), -1)[:, :width].astype(np.float32)


def row_major_sinusoid_table(grid: Grid, width: int) -> npt.NDArray[np.float32]:
    """VideoMAE's: `sinusoid_table` of a place's number in its grid."""
    return sinusoid_table(_num_places(grid), width)


class SinusoidPositions(nn.Module):
    """A fixed table for any grid.

    VideoMAE's follows the number of a place in its grid: in a grid of another size the same place
    has another number, and a network trained on one grid must get used to the other. In V-JEPA's
    a place keeps its entries, where the released code stretches the table of the trained grid.

    Args:
        grid: whose table is kept on the device; that of another is sent there at each call.
        width: of the tokens.
        make_table: which table.
    """

    table: Tensor

    def __init__(
        self, grid: Grid, width: int, make_table: Table = row_major_sinusoid_table
    ) -> None:
        super().__init__()
        self.grid, self.width, self._make_table = grid, width, make_table
        # Not part of a checkpoint: it is a function of the sizes.
        table = torch.from_numpy(make_table(grid, width))
        self.register_buffer("table", table, persistent=False)

    def forward(self, grid: Grid) -> Tensor:
        """float32[1 n width] for the n places of the grid."""
        if grid == self.grid:
            return self.table[None]
        table = _cached_table(self._make_table, grid, self.width)
        return to_device(table, self.table.device)[None]


class LearnedPositions(nn.Module):
    """MAE-ST's learned table: a vector for the place in space plus one for the place in time.

    arXiv 2205.09113, released code (`sep_pos_embed`); both start from a normal of deviation 0.02.
    Another grid than the one trained gets the vectors between: bicubic in space, linear in time
    (avrep default).

    Args:
        grid: of the table.
        width: of the tokens.
    """

    def __init__(self, grid: Grid, width: int) -> None:
        super().__init__()
        self.grid = grid
        t, h, w = grid
        self.space = nn.Parameter(torch.empty(h * w, width))
        self.time = nn.Parameter(torch.empty(t, width))
        nn.init.trunc_normal_(self.space, std=0.02)
        nn.init.trunc_normal_(self.time, std=0.02)

    def forward(self, grid: Grid) -> Tensor:
        """float32[1 n width] for the n places of the grid."""
        t, h, w = grid
        space, time = self.space, self.time
        if grid[1:] != self.grid[1:]:
            picture = space.T.unflatten(1, self.grid[1:])[None]
            picture = functional.interpolate(picture, size=(h, w), mode="bicubic")
            space = picture[0].flatten(1).T
        if t != self.grid[0]:
            time = functional.interpolate(time.T[None], size=t, mode="linear")[0].T
        return (time[:, None] + space[None, :]).flatten(0, 1)[None]


def build_positions(kind: PositionKind, grid: Grid, width: int) -> nn.Module:
    """A module from a grid to float32[1 n width]."""
    match kind:
        case "sinusoid":
            return SinusoidPositions(grid, width)
        case "separable":
            return SinusoidPositions(grid, width, separable_sinusoid_table)
        case "learned":
            return LearnedPositions(grid, width)


def _num_places(grid: Grid) -> int:
    t, h, w = grid
    return t * h * w


@lru_cache(maxsize=8)
def _cached_table(make_table: Table, grid: Grid, width: int) -> Tensor:
    return torch.from_numpy(make_table(grid, width))
