"""InfoNCE of queries against keys of their own and a queue of other clips' keys."""

import torch
from torch import Tensor
from torch.nn import functional


def queue_info_nce(
    queries: Tensor, positives: Tensor, queue: Tensor, *, temperature: float
) -> Tensor:
    """Each query must pick each of its positives, one at a time, from among the queue.

    With u.v the inner product, T the temperature and Q the queue, for query i and its positive k:

        l_ik = -log  exp(q_i.k / T) / ( exp(q_i.k / T) + sum_{u in Q} exp(q_i.u / T) )

    and the loss is mean_i sum_k l_ik. One positive makes it MoCo's (He et al., arXiv 1911.05722, eq.
    1). Two, the key at the query's speed and the key at the other, make it RSPNet's appearance task
    (Chen et al., arXiv 2011.07949), which as released is the sum of two cross-entropies: one positive
    is no negative of the other.

    Computed in float32 whatever the autocast, since 1/T enlarges a bfloat16's rounding.

    Args:
        queries: float[b d], rows of length 1.
        positives: float[b p d], rows of length 1.
        queue: float[n d], rows of length 1.
        temperature: T, positive; 0.07 in both papers' code.

    Returns:
        float32[].
    """
    with torch.autocast(queries.device.type, enabled=False):
        queries, positives, queue = queries.float(), positives.float(), queue.float()
        own = torch.einsum("bd,bpd->bp", queries, positives) / temperature
        others = torch.logsumexp(queries @ queue.T / temperature, dim=1, keepdim=True)
        # -log(e^o / (e^o + e^s)) = log(1 + e^(s - o)): the queue is summed once for all positives.
        return functional.softplus(others - own).sum(dim=1).mean()


def queue_top1(queries: Tensor, positives: Tensor, queue: Tensor) -> Tensor:
    """The share of positives that lie nearer to their query than all the queue, by inner product.

    Args:
        queries: float[b d].
        positives: float[b p d].
        queue: float[n d].

    Returns:
        float32[].
    """
    with torch.autocast(queries.device.type, enabled=False):
        queries, positives, queue = queries.float(), positives.float(), queue.float()
        own = torch.einsum("bd,bpd->bp", queries, positives)
        nearest = (queries @ queue.T).amax(dim=1, keepdim=True)
    return (own > nearest).float().mean()
