"""Cutting clips into cubes of pixels, what masked autoencoders predict of a cube, and their loss."""

import torch
from torch import Tensor

Cube = tuple[int, int, int]
"""Frames, height and width of a cube, in frames and pixels."""


def cut_cubes(video: Tensor, cube: Cube) -> Tensor:
    """A clip's cubes, in row-major order of time, height and width.

    Args:
        video: float[b c t h w], every side a multiple of the cube's.
        cube: frames, height and width of a cube.

    Returns:
        float[b n p c]: the p pixels of a cube run over its frames, rows and columns, as the released
        codes of VideoMAE and MAE-ST have them.

    Raises:
        ValueError: the video does not part into whole cubes.
    """
    if any(side % own for side, own in zip(video.shape[2:], cube, strict=True)):
        raise ValueError(f"cubes of {cube} want a video of whole cubes, got {[*video.shape]}")
    b, c, *sides = video.shape
    t, h, w = (side // own for side, own in zip(sides, cube, strict=True))
    parted = video.reshape(b, c, t, cube[0], h, cube[1], w, cube[2])
    # c t f h y w x -> t h w f y x c
    return parted.permute(0, 2, 4, 6, 3, 5, 7, 1).reshape(b, t * h * w, -1, c)


def join_cubes(cubes: Tensor, grid: tuple[int, int, int], cube: Cube) -> Tensor:
    """The clip that `cut_cubes` cut.

    Args:
        cubes: float[b n p c].
        grid: cubes along time, height and width.
        cube: frames, height and width of a cube.

    Returns:
        float[b c t h w].
    """
    b, _, _, c = cubes.shape
    t, h, w = grid
    parted = cubes.reshape(b, t, h, w, *cube, c).permute(0, 7, 1, 4, 2, 5, 3, 6)
    return parted.reshape(b, c, t * cube[0], h * cube[1], w * cube[2])


def channel_spread(cubes: Tensor) -> tuple[Tensor, Tensor]:
    """VideoMAE's mean and scale: of each channel of each cube, s + 1e-6 with s the unbiased deviation.

    Tong et al., arXiv 2203.12602; released code, whose colours lie in [0, 1].

    Args:
        cubes: float[b n p c].

    Returns:
        float[b n 1 c] each.
    """
    mean = cubes.mean(dim=2, keepdim=True)
    return mean, cubes.var(dim=2, unbiased=True, keepdim=True).sqrt() + 1e-6


def cube_spread(cubes: Tensor) -> tuple[Tensor, Tensor]:
    """MAE-ST's mean and scale: of all values of each cube, sqrt(v + 1e-6) with v the unbiased variance.

    Feichtenhofer et al., arXiv 2205.09113; released code.

    Args:
        cubes: float[b n p c].

    Returns:
        float[b n 1 1] each.
    """
    mean = cubes.mean(dim=(2, 3), keepdim=True)
    return mean, (cubes.var(dim=(2, 3), unbiased=True, keepdim=True) + 1e-6).sqrt()


def masked_mse(predicted: Tensor, targets: Tensor) -> Tensor:
    """The mean squared error over all values of the hidden cubes.

    Computed in float32 whatever the autocast.

    Args:
        predicted: float[b m v].
        targets: float[b m v], of the same cubes.

    Returns:
        float32[].

    Raises:
        ValueError: the shapes differ.
    """
    if predicted.shape != targets.shape:
        raise ValueError(f"predicted {[*predicted.shape]}, but targets {[*targets.shape]}")
    with torch.autocast(predicted.device.type, enabled=False):
        return (predicted.float() - targets.float()).square().mean()
