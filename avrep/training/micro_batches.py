"""A rank's share of a step in several parts, whose gradients add up to that of the whole."""

from dataclasses import fields, replace

from torch import Tensor

from avrep.errors import ConfigError
from avrep.objectives.base import BatchTensors, ViewTensors


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
