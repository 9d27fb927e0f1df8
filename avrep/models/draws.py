"""Dropout that draws from a generator of the caller's choice."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def draws_from(rng: torch.Generator) -> Iterator[None]:
    """Layers inside draw from `rng` and move it on; the device's own generator stays as it was.

    torch's dropout takes no generator, so that of `rng`'s device is lent `rng`'s state for a while.
    Nothing is copied to or from a GPU. Not for several threads at once.

    Args:
        rng: on the device that the layers compute on.
    """
    if rng.device.type == "cuda":
        index = rng.device.index
        own = torch.cuda.default_generators[torch.cuda.current_device() if index is None else index]
    else:
        own = torch.default_generator
    before = own.get_state()
    own.set_state(rng.get_state())
    try:
        yield
    finally:
        rng.set_state(own.get_state())
        own.set_state(before)
