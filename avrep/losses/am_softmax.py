"""Speakers told apart with a margin to spare."""

import torch
from torch import Tensor
from torch.nn import functional


def am_softmax(cosines: Tensor, labels: Tensor, *, scale: float, margin: float) -> Tensor:
    """Additive margin softmax (Wang, Cheng, Liu, Liu, arXiv 1801.05599).

    Cross entropy of scale * (cosine - margin for the true class), so that the true class must win by
    the margin.

    Args:
        cosines: float[b c], of each example with each class's direction, in [-1, 1].
        labels: int64[b].
        scale: SUPERB has 30.
        margin: SUPERB has 0.4.

    Returns:
        float32[], the mean over examples.
    """
    with torch.autocast(cosines.device.type, enabled=False):
        cosines = cosines.float()
        margins = functional.one_hot(labels, cosines.shape[1]).to(cosines.dtype) * margin
        return functional.cross_entropy(scale * (cosines - margins), labels)
