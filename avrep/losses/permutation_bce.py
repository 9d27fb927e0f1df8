"""Speakers have no order: the binary cross entropy of the order that fits best."""

from itertools import permutations

import torch
from torch import Tensor
from torch.nn import functional


def permutation_bce(logits: Tensor, labels: Tensor, num_frames: Tensor) -> tuple[Tensor, Tensor]:
    """Permutation-free loss of end-to-end diarization (Fujita et al., arXiv 1909.05952).

    For each recording the least, over orders of its speakers, of the cross entropies' sum over frames
    and mean over speakers; these summed and divided by the batch's frames, as in the public toolkit.

    Args:
        logits: float[b n k], of each speaker's speaking.
        labels: float[b n k], 1 where a speaker speaks.
        num_frames: int64[b]: each recording's own frames.

    Returns:
        float32[], and the labels with their speakers in the order that fits best, as `labels`.
    """
    with torch.autocast(logits.device.type, enabled=False):
        logits, labels = logits.float(), labels.float()
        own = torch.arange(logits.shape[1], device=logits.device) < num_frames[:, None]
        orders = [list(order) for order in permutations(range(labels.shape[2]))]
        ordered = torch.stack([labels[:, :, order] for order in orders])
        each = functional.binary_cross_entropy_with_logits(
            logits.expand_as(ordered), ordered, reduction="none"
        )
        sums = (each.mean(dim=3) * own).sum(dim=2)
        least, best = sums.min(dim=0)
        fitting = ordered[best, torch.arange(len(best), device=best.device)]
        return least.sum() / num_frames.sum(), fitting
