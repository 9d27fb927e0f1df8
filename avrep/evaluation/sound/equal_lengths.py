"""Batches without padding, for networks on which it would tell.

The group norm of wav2vec 2.0 base and its successors runs over all that a row holds, padding too, so
that a padded sound has other states than it has alone. Sounds of one length need none.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from avrep.evaluation.sound.upstream import HiddenStates, joined


def by_equal_lengths(waves: Sequence[Tensor], states: Callable[[Tensor], Tensor]) -> HiddenStates:
    """The states of sounds of any lengths, computed for those of each length together.

    Args:
        waves: float32[s] each.
        states: gives float[l b n d] of float32[b s].
    """
    rows_of = defaultdict(list)
    for row, wave in enumerate(waves):
        rows_of[len(wave)].append(row)
    each: dict[int, Tensor] = {}
    for rows in rows_of.values():
        found = states(torch.stack([waves[row] for row in rows]))
        each |= {row: found[:, place] for place, row in enumerate(rows)}
    return joined([each[row] for row in range(len(waves))])
