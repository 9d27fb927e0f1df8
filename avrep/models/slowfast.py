"""Two pathways made of one clip (Feichtenhofer et al., "SlowFast Networks", arXiv 1812.03982)."""

import torch
from torch import Tensor, nn


class SlowFast(nn.Module):
    """float[b 3 t h w] -> float[b d t/s h' w'], the slow pathway's map beside the fast one's.

    The fast pathway sees every frame, the slow one every s-th, from the first on. The fast map has
    s times as many instants; each run of s is averaged, so that the mean over all places is the
    published feature, the two pathways' means side by side.

    Args:
        blocks: from a list of two maps, slow and fast, to another.
        slow_stride: s, alpha in the paper: 4 for its 8 x 8 (frames times stride), 8 for its 4 x 16.
    """

    def __init__(self, blocks: nn.ModuleList, slow_stride: int) -> None:
        super().__init__()
        self.blocks = blocks
        self.slow_stride = slow_stride

    def forward(self, video: Tensor) -> Tensor:
        """The joined map.

        Raises:
            ValueError: the frames do not part into whole runs.
        """
        stride = self.slow_stride
        if video.shape[2] % stride:
            raise ValueError(
                f"SlowFast wants clips of a multiple of {stride} frames, got {video.shape[2]}"
            )
        maps = [video[:, :, ::stride], video]
        for block in self.blocks:
            maps = block(maps)
        slow, fast = maps
        return torch.cat([slow, fast.unflatten(2, (-1, stride)).mean(dim=3)], dim=1)
