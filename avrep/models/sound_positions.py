"""Where a patch of a spectrogram sits, told to the network."""

import torch
from torch import Tensor, nn

from avrep.models.positions import Grid, PositionKind, separable_sinusoid_table
from avrep.transfer import to_device


class SoundPositions(nn.Module):
    """A vector for each place of (time, frequency); a shorter sound has the table's first part.

    sinusoid: fixed, half of the entries for the time and half for the frequency, as in AudioMAE
    (arXiv 2207.06405, released code), where the frequency's half is the first. A longer sound's
    table goes on.

    learned: free numbers that start from a normal of deviation 0.02, as in AST (2104.01778) and
    SSAST (2110.09784). There is none for a longer sound. SSAST cuts a shorter sound's out of the
    table's middle; here a place has the same vector whatever the sound's length (avrep default).

    Args:
        kind: which.
        grid: places along time and frequency, and 1, of the table.
        width: of the tokens.
    """

    table: Tensor

    def __init__(self, kind: PositionKind, grid: Grid, width: int) -> None:
        super().__init__()
        self.kind, self.grid = kind, grid
        if kind == "sinusoid":
            # Not part of a checkpoint: it is a function of the sizes.
            table = torch.from_numpy(separable_sinusoid_table(grid[:2], width))
            self.register_buffer("table", table, persistent=False)
        else:
            self.table = nn.Parameter(torch.empty(grid[0] * grid[1], width))
            nn.init.trunc_normal_(self.table, std=0.02)

    def forward(self, grid: Grid) -> Tensor:
        """float32[1 n width] for the n places of the grid.

        Raises:
            ValueError: it has other places along frequency, or more along time than were learned.
        """
        if grid[1:] != self.grid[1:]:
            raise ValueError(
                f"positions are for {self.grid[1]} bands of frequency; got a grid of {grid}"
            )
        if grid[0] <= self.grid[0]:
            return self.table[: grid[0] * grid[1]][None]
        if self.kind == "learned":
            raise ValueError(
                f"learned positions end after {self.grid[0]} patches along time, got {grid[0]}; "
                f"cut the sound, or build the encoder for longer ones by spectrogram.num_frames"
            )
        longer = separable_sinusoid_table(grid[:2], self.table.shape[1])
        return to_device(longer, self.table.device)[None]
