"""Relative speed: a clip lies nearer to one of its own speed than to one of another."""

import torch
from torch import Tensor


def speed_ranking_loss(
    queries: Tensor, same_speed: Tensor, other_speed: Tensor, *, margin: float, temperature: float
) -> Tensor:
    """RSPNet's margin ranking of a query's two keys, which differ in speed alone.

    With u.v the inner product and T the temperature, over the clips i:

        mean_i max(0, margin - (q_i.k_i - q_i.n_i) / T)

    Chen et al., arXiv 2011.07949, as released (PeihaoChen/RSPNet): its margin of 2 is taken of
    similarities divided by T = 0.07, so it is 0.14 in cosines. The paper's margin is not found.

    Computed in float32 whatever the autocast, since 1/T enlarges a bfloat16's rounding.

    Args:
        queries: float[b d], rows of length 1.
        same_speed: float[b d], k: keys of clips as fast as the queries'.
        other_speed: float[b d], n: keys of the same clips at the other speed.
        margin: at least 0.
        temperature: T, positive.

    Returns:
        float32[].
    """
    gap = _gap(queries, same_speed, other_speed) / temperature
    return (margin - gap).clamp(min=0).mean()


def speed_ranking_accuracy(queries: Tensor, same_speed: Tensor, other_speed: Tensor) -> Tensor:
    """The share of queries nearer to the key of their own speed; a tie counts as wrong.

    Chance is 1/2.

    Args:
        queries: float[b d].
        same_speed: float[b d].
        other_speed: float[b d].

    Returns:
        float32[].
    """
    return (_gap(queries, same_speed, other_speed) > 0).float().mean()


def _gap(queries: Tensor, same_speed: Tensor, other_speed: Tensor) -> Tensor:
    """float32[b]: q.k - q.n."""
    with torch.autocast(queries.device.type, enabled=False):
        queries = queries.float()
        to_same = (queries * same_speed.float()).sum(dim=1)
        return to_same - (queries * other_speed.float()).sum(dim=1)
