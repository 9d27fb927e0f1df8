"""Weights that are a function of a seed, without a trace on the global generator."""

import zlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from avrep import rng
from avrep.types import Address


@contextmanager
def seeded(seed: int, part: str) -> Iterator[None]:
    """Modules built inside get weights that are a function of (seed, part), and the caller's own
    draws go on as if nothing had happened.

    Modules are built on the CPU whatever the default device, so that weights are the same on every
    machine. Not for several threads at once: torch's layers draw from one generator a process.

    Args:
        seed: the run's seed, in [0, 2**64).
        part: what is built; parts of one run differ in it, so that no two start from equal draws.
    """
    draws = rng.at(seed, rng.Stage.MODEL, Address(0, 0), lane=zlib.crc32(part.encode()))
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        torch.default_generator.manual_seed(int(draws.integers(0, 2**63)))
        yield
