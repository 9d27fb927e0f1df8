"""The stream: batches of a plan in step order, as a plain generator.

A Ray decode actor runs `read_batch`, nothing else, so that every promise about the stream can be
tested here without Ray.
"""

from collections.abc import Iterable, Iterator

from avrep.errors import FailureBudgetExceeded, MediaError, ShardError
from avrep.pipeline.collate import collate
from avrep.pipeline.example import StreamSource, read_example
from avrep.pipeline.plan import Plan, Sweep, addresses, substitute
from avrep.types import Address, Batch, Clip, Failure

MAX_SUBSTITUTES = 15
"""Substitutes tried for one address before the corpus, not the item, is to blame."""


def batches(
    source: StreamSource, steps: Iterable[int], rank: int = 0, world_size: int = 1
) -> Iterator[Batch]:
    """One rank's batches of the given steps, decoded in this process.

    Raises:
        FailureBudgetExceeded: see `read_batch`.
    """
    for step in steps:
        yield read_batch(source, step, rank, world_size)


def read_batch(source: StreamSource, step: int, rank: int = 0, world_size: int = 1) -> Batch:
    """One rank's batch of one step: a pure function of its arguments and the corpus.

    An item that cannot be read or decoded is reported in `Batch.failures`. Under a `Plan`, a
    substitute that is itself a function of the address takes its place; under a `Sweep` its row is
    left out, and a batch of which nothing is left has no views.

    Raises:
        FailureBudgetExceeded: an address and all its substitutes failed.
    """
    examples: list[tuple[Clip, ...]] = []
    used: list[Address] = []
    failures: list[Failure] = []
    for planned in addresses(source.plan, step, rank, world_size):
        for address in _candidates(source.plan, planned):
            try:
                examples.append(read_example(source, address))
            except (MediaError, ShardError) as error:
                failures.append(_failure(source, address, error))
            else:
                used.append(address)
                break
        else:
            if isinstance(source.plan, Plan):
                last = failures[-1]
                raise FailureBudgetExceeded(
                    f"{planned} and {MAX_SUBSTITUTES} substitutes failed; the last: "
                    f"{last.key}: {last.stage}: {last.reason}"
                )
    items = [source.catalog[address.item] for address in used]
    return Batch(
        step=step,
        addresses=tuple(used),
        keys=tuple(item.key for item in items),
        views=tuple(collate(view) for view in zip(*examples, strict=True)),
        labels=tuple(item.labels for item in items),
        failures=tuple(failures),
        num_bad_packets=sum(clips[0].num_bad_packets for clips in examples),
    )


def _candidates(plan: Plan | Sweep, planned: Address) -> Iterator[Address]:
    yield planned
    if isinstance(plan, Plan):
        for attempt in range(1, MAX_SUBSTITUTES + 1):
            yield substitute(plan, planned, attempt)


def _failure(source: StreamSource, address: Address, error: MediaError | ShardError) -> Failure:
    key = source.catalog[address.item].key
    if isinstance(error, MediaError):
        return Failure(address=address, key=key, stage=error.stage, reason=error.reason)
    return Failure(address=address, key=key, stage="read", reason=str(error))
