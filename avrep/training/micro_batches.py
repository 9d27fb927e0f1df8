"""A rank's share of a step in several parts, whose gradients add up to that of the whole."""

import math
from collections.abc import Sequence
from dataclasses import fields, replace

from torch import Tensor

from avrep.errors import ConfigError
from avrep.objectives.base import BatchTensors, ViewTensors


def num_parts(
    rows: Sequence[int], num_ranks: int, *, num_workers: int, num_micro_batches: int
) -> int:
    """In how many parts a rank takes its share, where there may be fewer ranks than the run was set up
    for: the fewest of equal length that are no longer than with all of them, as memory was sized for
    those. A share that is taken at once then is so with fewer ranks too.

    Args:
        rows: items of the rank's share, of each corpus.
        num_ranks: that share the step now.
        num_workers: that the run was set up for; times `num_micro_batches` it divides the step's items
            of each corpus, so that there is always such a number.
        num_micro_batches: parts of a share among that many ranks.
    """
    if num_micro_batches == 1:
        return 1
    least = -(-num_workers * num_micro_batches // num_ranks)
    most = math.gcd(*rows)
    return next(number for number in range(least, most + 1) if most % number == 0)


def micro_batches(inputs: BatchTensors, num: int) -> tuple[BatchTensors, ...]:
    """The batch's rows in `num` runs of equal length, each of which knows what it is a part of.

    Nothing is copied: the rows, augmented already, are those of the undivided step, and so are their
    addresses.

    Args:
        inputs: this rank's share of a step.
        num: how many; 1 gives the batch back.

    Raises:
        ConfigError: the rows, or those of a mixture's further corpora, do not divide.
    """
    if num == 1:
        return (inputs,)
    num_rows = len(inputs.views[0].pts_s)
    if num_rows % num:
        raise ConfigError(
            f"train.num_micro_batches is {num}, but each trainer has {num_rows} items of a step; "
            f"choose a divisor of {num_rows}, or another batch_size"
        )
    others = {name: micro_batches(other, num) for name, other in inputs.others.items()}
    size = num_rows // num
    parts: list[BatchTensors] = []
    for number in range(num):
        rows = slice(number * size, (number + 1) * size)
        parts.append(
            replace(
                inputs,
                views=tuple(_rows_of(view, rows) for view in inputs.views),
                addresses=inputs.addresses[rows],
                others={name: other[number] for name, other in others.items()},
                share=inputs,
                first_row=rows.start,
            )
        )
    return tuple(parts)


def _rows_of(view: ViewTensors, rows: slice) -> ViewTensors:
    tensors = {field.name: getattr(view, field.name) for field in fields(view)}
    return replace(view, **{name: t[rows] for name, t in tensors.items() if isinstance(t, Tensor)})
