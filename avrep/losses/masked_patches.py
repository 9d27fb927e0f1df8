"""Losses of hidden patches of a spectrogram: how wrong their values are, and which of them is which.

Computed in float32 whatever the autocast.
"""

import torch
from torch import Tensor
from torch.nn import functional


def patch_errors(predicted: Tensor, targets: Tensor) -> Tensor:
    """The mean squared error of each patch.

    The generative loss of SSAST (arXiv 2110.09784, equation 2) and AudioMAE's (2207.06405) are means
    of it over the hidden patches.

    Args:
        predicted: float[b m p].
        targets: float[b m p], of the same patches.

    Returns:
        float32[b m].

    Raises:
        ValueError: the shapes differ.
    """
    _check(predicted, targets)
    return (predicted.float() - targets.float()).square().mean(dim=2)


def patch_logits(predicted: Tensor, targets: Tensor, valid: Tensor) -> Tensor:
    """Each prediction's inner products with all hidden patches of its clip.

    Args:
        predicted: float[b m p].
        targets: float[b m p].
        valid: bool[b m]: which rows are patches; the others' columns are minus infinity.

    Returns:
        float32[b m m], the right patch on the diagonal.

    Raises:
        ValueError: the shapes differ.
    """
    _check(predicted, targets)
    with torch.autocast(predicted.device.type, enabled=False):
        logits = predicted.float() @ targets.float().transpose(1, 2)
    return logits.masked_fill(~valid[:, None], float("-inf"))


def patch_info_nce(logits: Tensor, valid: Tensor) -> Tensor:
    """SSAST's discriminative loss, each hidden patch told from the others of its clip.

    With predictions c_i, patches x_j and the M hidden patches of a clip, for patch i:

        -log  exp(c_i . x_i) / sum_{j in M} exp(c_i . x_j)

    Gong et al., arXiv 2110.09784, equation 1. The released code divides by the sum over predictions,
    exp(c_j . x_i), against the paper (its issue 13); here it is the paper's.

    Args:
        logits: float32[b m m], from `patch_logits`.
        valid: bool[b m].

    Returns:
        float32[b m]; 0 where not valid.
    """
    b, m, _ = logits.shape
    own = torch.arange(m, device=logits.device).expand(b, m).where(valid, -100)
    return functional.cross_entropy(
        logits.flatten(0, 1), own.flatten(), reduction="none", ignore_index=-100
    ).unflatten(0, (b, m))


def clip_spread(targets: Tensor, valid: Tensor) -> Tensor:
    """The error of who gives all of a clip's hidden patches, at each value's place, the clip's mean.

    Args:
        targets: float[b m p].
        valid: bool[b m].

    Returns:
        float32[b m]: of each patch; what rows that are not valid have means nothing.
    """
    weights = valid[..., None].float()
    mean = (targets.float() * weights).sum(dim=1, keepdim=True) / weights.sum(dim=1, keepdim=True)
    return (targets.float() - mean).square().mean(dim=2)


def _check(predicted: Tensor, targets: Tensor) -> None:
    if predicted.shape != targets.shape:
        raise ValueError(f"predicted {[*predicted.shape]}, but targets {[*targets.shape]}")
