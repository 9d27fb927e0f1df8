"""Activation checkpointing: a block's inner tensors are made again in the backward pass, not kept.

Chen, Xu, Zhang, Guestrin, "Training Deep Nets with Sublinear Memory Cost", arXiv 1604.06174.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from types import MethodType
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint


def recompute_in_backward(block: nn.Module) -> None:
    """Let a module keep its inputs alone for the backward pass, and compute the rest of it again there.

    Loss and gradients stay the same: dropout draws the same numbers again, from the device's
    generator or from one that is an argument, and batch norm counts a batch once. Where no gradient
    is asked for, nothing changes. The module keeps its type, its names and its hooks.

    Args:
        block: called once or more in each pass; its `forward` is replaced.
    """
    forward = block.forward
    assert isinstance(forward, MethodType)
    # Bound, so that a deep copy of the block runs its own weights.
    block.forward = MethodType(partial(_forward, forward.__func__), block)


def _forward(forward: Callable[..., Any], block: nn.Module, *inputs: Any) -> Any:
    if not torch.is_grad_enabled():
        return forward(block, *inputs)

    def run(*inputs: Any) -> Any:
        # Lists are copied: pytorchvideo's pathways write into theirs.
        return forward(block, *(list(x) if isinstance(x, list) else x for x in inputs))

    generators = [x for x in inputs if isinstance(x, torch.Generator)]
    states = [generator.get_state() for generator in generators]
    norms = [m for m in block.modules() if isinstance(m, _BatchNorm) and m.training]

    def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        return nullcontext(), _second_pass(generators, states, norms)

    return checkpoint(run, *inputs, use_reentrant=False, context_fn=contexts)


@contextmanager
def _second_pass(
    generators: Sequence[torch.Generator],
    states: Sequence[torch.Tensor],
    norms: Sequence[_BatchNorm],
) -> Iterator[None]:
    """Generators draw what they drew in the first pass, and norms' averages stay as they are."""
    now = [generator.get_state() for generator in generators]
    momenta = [norm.momentum for norm in norms]
    counts = [norm.num_batches_tracked for norm in norms]
    before = [None if count is None else count.clone() for count in counts]
    for generator, state in zip(generators, states, strict=True):
        generator.set_state(state)
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for generator, state in zip(generators, now, strict=True):
            generator.set_state(state)
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        for count, value in zip(counts, before, strict=True):
            if count is not None and value is not None:
                count.copy_(value)
