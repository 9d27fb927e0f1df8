"""How well a `ShuffleConfig` mixes a corpus, against a uniform shuffle of all of it.

Batches come from the real plan. Each figure is a ratio to what a uniform draw without replacement
gives in expectation (hypergeometric counts), so that 1 is a full shuffle whatever the sizes.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

from avrep.pipeline.plan import Plan, visits
from avrep.pipeline.shuffle import ShuffleConfig

Ints = npt.NDArray[np.int64]

_SEED = 1
_MOST_ITEMS = 100_000
_NUM_PAIRS = 128
_SMALLEST_NUM_PAIRS = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Mixing:
    """What the batches of one plan look like, where classes lie in a row and where they do not."""

    mates: float
    """Other items of its own block that an item meets in its batch."""
    class_pairs: float
    """Pairs of one class in a batch, as a ratio; classes lie in a row."""
    class_pairs_shuffled: float
    """The same for a corpus that was shuffled before it was written: a control."""
    rank_class_pairs: float
    """The same in one rank's part, when eight ranks share the batch; classes in a row."""
    class_variance: float
    """Variance of class counts between batches, as a ratio; classes in a row."""
    distinct_classes: float
    """Classes in a batch, as a ratio; classes in a row."""
    position_correlation: float
    """Spearman's, between the mean storage positions of a batch and of the next."""


def measure_mixing(
    num_items: int, num_classes: int, global_batch: int, shuffle: ShuffleConfig
) -> Mixing:
    """Read pairs of consecutive steps, evenly spaced over an epoch or several.

    Args:
        num_items: in the corpus; at least two global batches.
        num_classes: as equal in size as can be.
        global_batch: a multiple of 8.
        shuffle: what is measured.
    """
    rows = np.arange(num_items)
    plan = Plan(seed=_SEED, rows=rows, global_batch=global_batch, shuffle=shuffle)
    in_a_row = rows * num_classes // num_items
    shuffled = np.random.default_rng(_SEED).permutation(in_a_row)
    mates: list[float] = []
    counts: list[Ints] = []
    shuffled_counts: list[Ints] = []
    rank_counts: list[Ints] = []
    means: list[float] = []
    for step in _steps(plan):
        planned = visits(plan, step)
        items = np.array([visit.address.item for visit in planned])
        blocks = np.array([visit.block for visit in planned])
        _, block_counts = np.unique(blocks, return_counts=True)
        mates.append(float((block_counts * (block_counts - 1)).sum() / global_batch))
        counts.append(np.bincount(in_a_row[items], minlength=num_classes))
        shuffled_counts.append(np.bincount(shuffled[items], minlength=num_classes))
        parts = items.reshape(8, -1)
        rank_counts.extend(np.bincount(in_a_row[part], minlength=num_classes) for part in parts)
        means.append(float(items.mean()))
    sizes = np.bincount(in_a_row, minlength=num_classes)
    return Mixing(
        mates=float(np.mean(mates)),
        class_pairs=pair_ratio(np.array(counts), sizes),
        class_pairs_shuffled=pair_ratio(np.array(shuffled_counts), sizes),
        rank_class_pairs=pair_ratio(np.array(rank_counts), sizes),
        class_variance=variance_ratio(np.array(counts), sizes),
        distinct_classes=distinct_ratio(np.array(counts), sizes),
        position_correlation=float(np.corrcoef(rankdata(means[0::2]), rankdata(means[1::2]))[0, 1]),
    )


def pair_ratio(counts: Ints, sizes: Ints) -> float:
    """Same-class pairs over what a uniform draw would have.

    Args:
        counts: int64[batches, classes]; every batch is as large as the others.
        sizes: int64[classes], of the whole corpus.
    """
    batch, num_items = counts[0].sum(), sizes.sum()
    share = (sizes * (sizes - 1.0)).sum() / (num_items * (num_items - 1.0))
    return float((counts * (counts - 1.0)).sum(axis=1).mean() / (batch * (batch - 1.0) * share))


def variance_ratio(counts: Ints, sizes: Ints) -> float:
    """Mean over classes of (count - expected)^2 over its hypergeometric variance; arguments as above."""
    batch, num_items = counts[0].sum(), sizes.sum()
    share = sizes / num_items
    variance = batch * share * (1 - share) * (num_items - batch) / (num_items - 1)
    return float(((counts - batch * share) ** 2 / variance).mean())


def distinct_ratio(counts: Ints, sizes: Ints) -> float:
    """Classes that a batch has over what a uniform draw would have; arguments as above."""
    batch, num_items = int(counts[0].sum()), int(sizes.sum())
    # Chance that each of a batch's draws misses a class of this size.
    drawn = np.arange(batch)
    missed = np.array(
        [np.prod(np.maximum(0, num_items - size - drawn) / (num_items - drawn)) for size in sizes]
    )
    return float((counts > 0).sum(axis=1).mean() / (1 - missed).sum())


def _steps(plan: Plan) -> Iterator[int]:
    """Steps in pairs (s, s + 1) of one epoch each."""
    most = max(_SMALLEST_NUM_PAIRS, _MOST_ITEMS // (2 * plan.global_batch))
    num_pairs = min(_NUM_PAIRS, most)
    per_epoch = plan.steps_per_epoch // 2
    apart = max(1, per_epoch // num_pairs)
    for number in range(num_pairs):
        epoch, pair = divmod(number * apart, per_epoch)
        first = epoch * plan.steps_per_epoch + 2 * pair
        yield first
        yield first + 1
