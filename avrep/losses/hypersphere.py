"""How features lie on the unit sphere: alignment and uniformity (Wang and Isola, arXiv 2005.10242)."""

import torch
from torch import Tensor
from torch.nn import functional


def alignment(first: Tensor, second: Tensor) -> Tensor:
    """Mean squared distance between the normalised features of two views of the same items.

    Equation 5 with alpha = 2, the paper's own choice: 0 where each pair is in one place, 2 where
    pairs are no nearer than strangers at right angles.

    Args:
        first: float[b d].
        second: float[b d], row i of the same item.

    Returns:
        float32[], in [0, 4].
    """
    first, second = (functional.normalize(rows.float(), dim=1) for rows in (first, second))
    return (first - second).square().sum(dim=1).mean()


def uniformity(features: Tensor) -> Tensor:
    """Log of the mean of exp(-2 ||x - y||^2) over pairs of different rows, each normalised.

    Equation 6 with t = 2. Over the pairs of a batch without those of a row with itself, as in the
    released code; the paper's expectation is over independent draws. Lower is better: 0 where all
    rows are in one place, about -4 + 8 / d where they spread evenly in d dimensions.

    Args:
        features: float[b d] of unrelated clips, b at least 2.

    Returns:
        float32[], in [-8, 0].

    Raises:
        ValueError: fewer than two rows.
    """
    if len(features) < 2:
        raise ValueError(f"uniformity wants two rows or more, got {list(features.shape)}")
    rows = functional.normalize(features.float(), dim=1)
    return (-2 * torch.pdist(rows).square()).exp().mean().log()
