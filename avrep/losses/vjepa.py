"""What V-JEPA predicts of a hidden place, its loss, and whether its teacher still tells clips apart."""

import torch
from torch import Tensor
from torch.nn import functional

from avrep.losses.gather import gather_rows


def normalised_features(tokens: Tensor) -> Tensor:
    """Each token less the mean of its features, divided by sqrt(v + 1e-5) with v their variance.

    A layer norm without scale and shift, as V-JEPA's released code makes targets of the teacher's
    tokens (arXiv 2404.08471). Computed in float32 whatever the autocast.

    Args:
        tokens: float[... d].

    Returns:
        float32[... d].
    """
    with torch.autocast(tokens.device.type, enabled=False):
        return functional.layer_norm(tokens.float(), tokens.shape[-1:])


def masked_l1(predicted: Tensor, targets: Tensor) -> Tensor:
    """The mean absolute difference over all features of the hidden places (arXiv 2404.08471, eq. 2).

    Computed in float32 whatever the autocast.

    Args:
        predicted: float[b m d].
        targets: float[b m d], of the same places.

    Returns:
        float32[].

    Raises:
        ValueError: the shapes differ.
    """
    if predicted.shape != targets.shape:
        raise ValueError(f"predicted {[*predicted.shape]}, but targets {[*targets.shape]}")
    with torch.autocast(predicted.device.type, enabled=False):
        return (predicted.float() - targets.float()).abs().mean()


@torch.no_grad()
def spread_over_clips(pooled: Tensor) -> Tensor:
    """How unlike clips are to a network: 1 when their vectors fill the sphere, 0 when all are one.

    The mean over features of the deviation over clips, of vectors scaled to length sqrt(d); over
    the clips of all ranks together.

    Args:
        pooled: float[b d], one vector for each clip; as many on every rank, and every rank must call.

    Returns:
        float32[], the same on every rank.
    """
    rows, _ = gather_rows(functional.normalize(pooled.float(), dim=1))
    return rows.std(dim=0, correction=0).mean() * pooled.shape[1] ** 0.5
