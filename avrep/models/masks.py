"""Which places of a grid a network sees and which are hidden from it, drawn by numpy's generators.

A grid is (time, height, width) in places, numbered in row-major order.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import numpy.typing as npt
import torch
import torch.distributed as dist
from pydantic import Field
from torch import Tensor

from avrep.frozen import FrozenConfig
from avrep.models.positions import Grid
from avrep.transfer import to_device

Places = Annotated[npt.NDArray[np.int64], "n"]

# A product such as 160 * (1 - 0.9) falls just short of the 16 that is meant.
_CLOSE = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Mask:
    """A clip's places, parted in two, each part ascending."""

    kept: Places
    masked: Places


def tube_mask(grid: Grid, ratio: float, draws: np.random.Generator) -> Mask:
    """VideoMAE's: one random map of height and width, the same at all times.

    floor(ratio * height * width) places of the map are hidden: 176 of 196 at ratio 0.9, so that 160
    of 1568 tokens are seen (arXiv 2203.12602; released code).

    Args:
        grid: (time, height, width) in places.
        ratio: in (0, 1).
        draws: where the randomness comes from.

    Raises:
        ValueError: nothing would be hidden, or nothing seen.
    """
    t, h, w = grid
    num_masked = math.floor(ratio * h * w + _CLOSE)
    hidden = np.zeros(h * w, dtype=bool)
    hidden[draws.permutation(h * w)[:num_masked]] = True
    return _mask(np.tile(hidden, t))


def num_seen(num_places: int, ratio: float) -> int:
    """floor((1 - ratio) * places): how many stay when a share of them is hidden."""
    return math.floor((1 - ratio) * num_places + _CLOSE)


def random_mask(grid: Grid, ratio: float, draws: np.random.Generator) -> Mask:
    """MAE-ST's: places of time and space alike, without structure.

    The floor((1 - ratio) * places) places of least noise are seen: 156 of 1568 at ratio 0.9 (arXiv
    2205.09113; released code).

    Args:
        grid: (time, height, width) in places.
        ratio: in (0, 1).
        draws: where the randomness comes from.

    Raises:
        ValueError: nothing would be hidden, or nothing seen.
    """
    num_places = math.prod(grid)
    hidden = np.ones(num_places, dtype=bool)
    hidden[np.argsort(draws.random(num_places))[: num_seen(num_places, ratio)]] = False
    return _mask(hidden)


def cluster_mask(
    grid: Grid, ratio: float, sides: tuple[int, int], draws: np.random.Generator
) -> Mask:
    """SSAST's: squares of places of time and frequency, all of one size, until enough are hidden.

    With n places, n - floor((1 - ratio) n) are hidden: 400 of 512 at ratio 0.78125. The side C is
    uniform in `sides`; squares begin at uniform places, end at the grid's edges, and may overlap;
    the last one is hidden row by row until there are enough (Gong et al., arXiv 2110.09784, algorithm 1).
    The released code lets squares go on in the next row, never hides the first place, and drops what
    is too much by number.

    Args:
        grid: (time, frequency, 1) in places.
        ratio: in (0, 1).
        sides: smallest and largest C; SSAST's are 3 and 5.
        draws: where the randomness comes from.

    Raises:
        ValueError: nothing would be hidden, or nothing seen.
    """
    t, f, _ = grid
    num_masked = t * f - num_seen(t * f, ratio)
    side = int(draws.integers(sides[0], sides[1] + 1))
    hidden = np.zeros((t, f), dtype=bool)
    while (missing := num_masked - int(hidden.sum())) > 0:
        time, band = draws.integers(0, (t, f))
        square = np.zeros_like(hidden)
        square[time : time + side, band : band + side] = True
        new = np.flatnonzero(square & ~hidden)[:missing]
        hidden.ravel()[new] = True
    return _mask(hidden.ravel())


class BlockMaskConfig(FrozenConfig):
    """V-JEPA's blocks: boxes of one size that span all of the time."""

    num_blocks: int = Field(ge=1, le=64)
    scale: float = Field(gt=0, le=1)
    """A block's share of a frame's places."""
    aspect: tuple[float, float] = (0.75, 1.5)
    """Range of a block's height divided by its width."""


SHORT_RANGE = BlockMaskConfig(num_blocks=8, scale=0.15)
LONG_RANGE = BlockMaskConfig(num_blocks=2, scale=0.7)


def block_size(grid: Grid, config: BlockMaskConfig, draws: np.random.Generator) -> tuple[int, int]:
    """Height and width of V-JEPA's blocks, in places; one draw serves a whole step.

    With n = floor(scale * height * width) and an aspect a uniform in its range, round(sqrt(n a)) by
    round(sqrt(n / a)), neither larger than the frame (arXiv 2404.08471; released code).

    Args:
        grid: (time, height, width) in places.
        config: which blocks.
        draws: where the randomness comes from; a function of the step, so that ranks agree.
    """
    return _block_size(grid, config, draws.uniform(*config.aspect))


def may_cover(grid: Grid, config: BlockMaskConfig) -> bool:
    """Whether one block alone can be as large as a frame, so that nothing would be seen."""
    _, h, w = grid
    low, high = config.aspect
    return _block_size(grid, config, min(max(h / w, low), high)) == (h, w)


def block_mask(
    grid: Grid, size: tuple[int, int], num_blocks: int, draws: np.random.Generator
) -> Mask:
    """V-JEPA's: what any of the blocks covers is hidden, at all times; the rest is the context.

    Blocks may overlap. When they leave no context, all of them are drawn again.

    Args:
        grid: (time, height, width) in places.
        size: height and width of a block, from `block_size`.
        num_blocks: how many.
        draws: where the randomness comes from.

    Raises:
        ValueError: one block alone covers the frame.
    """
    t, h, w = grid
    height, width = size
    if (height, width) == (h, w):
        raise ValueError(f"blocks of {height} x {width} places leave nothing of {h} x {w} to see")
    hidden = np.ones((h, w), dtype=bool)
    while hidden.all():
        hidden[:] = False
        tops = draws.integers(0, h - height + 1, size=num_blocks)
        lefts = draws.integers(0, w - width + 1, size=num_blocks)
        for top, left in zip(tops, lefts, strict=True):
            hidden[top : top + height, left : left + width] = True
    return _mask(np.tile(hidden.ravel(), t))


def truncated(masks: Sequence[Mask], device: torch.device) -> tuple[Mask, ...]:
    """Each part cut to the batch's shortest, so that the parts can be stacked, as V-JEPA does.

    What is cut off are the last places, those of the latest times. A place that is cut from both
    parts is neither seen nor predicted. The batch is that of all ranks together, so that a clip's
    loss does not depend on the rank that got it; the released code has each rank's own.

    Args:
        masks: of this rank's clips; every rank must call, in the same order.
        device: where ranks exchange two numbers.
    """
    num_kept = min(len(mask.kept) for mask in masks)
    num_masked = min(len(mask.masked) for mask in masks)
    if dist.is_available() and dist.is_initialized():
        shortest = torch.tensor([num_kept, num_masked], device=device)
        dist.all_reduce(shortest, dist.ReduceOp.MIN)
        num_kept, num_masked = shortest.tolist()
    return tuple(Mask(kept=mask.kept[:num_kept], masked=mask.masked[:num_masked]) for mask in masks)


def stacked(masks: Sequence[Mask], device: torch.device) -> tuple[Tensor, Tensor]:
    """The kept and the masked places of a batch, int64[b k] and int64[b m], on the device.

    Raises:
        ValueError: clips differ in how many places they keep or hide.
    """
    sizes = {(len(mask.kept), len(mask.masked)) for mask in masks}
    if len(sizes) != 1:
        raise ValueError(f"clips of a batch must keep and hide equally many places; got {sizes}")
    kept = np.stack([mask.kept for mask in masks])
    masked = np.stack([mask.masked for mask in masks])
    return to_device(kept, device), to_device(masked, device)


def stacked_unequal(masks: Sequence[Mask]) -> tuple[Tensor, Tensor]:
    """As `stacked`, on the host, of clips that keep or hide unequal numbers: short rows end in -1."""
    kept, masked = (
        np.full((len(masks), max(len(part) for part in parts)), -1, dtype=np.int64)
        for parts in ([mask.kept for mask in masks], [mask.masked for mask in masks])
    )
    for row, mask in enumerate(masks):
        kept[row, : len(mask.kept)] = mask.kept
        masked[row, : len(mask.masked)] = mask.masked
    return torch.from_numpy(kept), torch.from_numpy(masked)


def take_places(rows: Tensor, places: Tensor) -> Tensor:
    """Each clip's own choice of rows.

    Args:
        rows: [b n d].
        places: int64[b k], each in [0, n).

    Returns:
        [b k d].

    Raises:
        ValueError: `places` has another form.
    """
    if places.ndim != 2 or places.dtype != torch.int64 or places.shape[0] != rows.shape[0]:
        raise ValueError(
            f"{rows.shape[0]} clips want their places as int64[{rows.shape[0]} k]; "
            f"got {str(places.dtype).removeprefix('torch.')}{list(places.shape)}"
        )
    return rows.gather(1, places[:, :, None].expand(-1, -1, rows.shape[2]))


def _mask(hidden: npt.NDArray[np.bool_]) -> Mask:
    if hidden.all() or not hidden.any():
        raise ValueError(
            f"a mask must hide some of the {len(hidden)} places and show some; "
            f"this one hides {int(hidden.sum())}"
        )
    return Mask(kept=np.flatnonzero(~hidden), masked=np.flatnonzero(hidden))


def _block_size(grid: Grid, config: BlockMaskConfig, aspect: float) -> tuple[int, int]:
    _, h, w = grid
    area = math.floor(config.scale * h * w + _CLOSE)
    height, width = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
    return min(max(height, 1), h), min(max(width, 1), w)
