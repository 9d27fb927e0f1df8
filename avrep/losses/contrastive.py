"""InfoNCE between two views of each clip."""

import torch
from torch import Tensor
from torch.nn import functional


def two_view_info_nce(
    z_a: Tensor, z_b: Tensor, keys_a: Tensor, keys_b: Tensor, *, offset: int, temperature: float
) -> Tensor:
    """CVRL's loss: each clip must pick its other view from all the clips of the joined batch.

    With u.v the inner product, T the temperature and n clips in the joined batch, for clip i:

        a_i = -log  exp(a_i.b_i / T) / ( sum_j exp(a_i.b_j / T) + sum_{j != i} exp(a_i.a_j / T) )

    b_i is the same with a and b exchanged, and the loss is mean_i a_i + mean_i b_i over the local
    clips: a sum of two sides, where SimCLR's is their average. Qian et al., arXiv 2008.03800, as its
    released code has it (tensorflow/models, official/projects/video_ssl, losses/losses.py). The code
    takes 1e9 from the logit of a clip with itself; here that logit is minus infinity, which is the
    same in float32.

    Computed in float32 whatever the autocast, since 1/T enlarges a bfloat16's rounding.

    Args:
        z_a: float[b d], the first view's embeddings of the local clips, rows of length 1.
        z_b: float[b d], the second view's.
        keys_a: float[n d], the first view's embeddings of the joined batch.
        keys_b: float[n d], the second view's.
        offset: row of `keys_*` where the local clips begin.
        temperature: T, positive; CVRL's is 0.1.

    Returns:
        float32[].
    """
    with torch.autocast(z_a.device.type, enabled=False):
        z_a, z_b, keys_a, keys_b = z_a.float(), z_b.float(), keys_a.float(), keys_b.float()
        own = torch.arange(z_a.shape[0], device=z_a.device) + offset
        itself = functional.one_hot(own, keys_a.shape[0]).bool()
        sides = []
        for query, other_view, same_view in ((z_a, keys_b, keys_a), (z_b, keys_a, keys_b)):
            to_others = query @ other_view.T / temperature
            to_same = (query @ same_view.T / temperature).masked_fill(itself, float("-inf"))
            sides.append(functional.cross_entropy(torch.cat([to_others, to_same], dim=1), own))
        return sides[0] + sides[1]


def top1_accuracy(queries: Tensor, keys: Tensor, *, offset: int) -> Tensor:
    """The share of queries whose nearest key, by inner product, is their own; chance is 1 / n.

    Args:
        queries: float[b d].
        keys: float[n d], of another view.
        offset: row of `keys` that belongs to the first query.

    Returns:
        float32[].
    """
    own = torch.arange(queries.shape[0], device=queries.device) + offset
    with torch.autocast(queries.device.type, enabled=False):
        nearest = (queries.float() @ keys.float().T).argmax(dim=1)
    return (nearest == own).float().mean()
