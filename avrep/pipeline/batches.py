"""The stream: batches of a plan in step order, as a plain generator.

Decode actors run the same `Reader`, so that every promise about the stream's content can be tested
here without Ray.
"""

from collections.abc import Iterable, Iterator

from avrep.errors import FailureBudgetExceeded
from avrep.pipeline.example import StreamSource
from avrep.pipeline.plan import Plan, Sweep, Visit, substitute, visits
from avrep.pipeline.quarantine import KnownBad
from avrep.pipeline.reader import MAX_SUBSTITUTES, Order, Reader
from avrep.types import Batch


def batches(
    source: StreamSource, steps: Iterable[int], rank: int = 0, world_size: int = 1
) -> Iterator[Batch]:
    """One rank's batches of the given steps, decoded in this process.

    Media that ends its process ends this one, and nothing stops a decoder that never returns: that
    takes decode actors.

    Raises:
        FailureBudgetExceeded: an item and all its substitutes failed.
    """
    known_bad = source.known_bad.copy()
    with Reader(source) as reader:
        for step in steps:
            planned = visits(source.plan, step, rank, world_size)
            batch = reader.read(step, place_orders(source.plan, planned, step, known_bad)).batch
            for failure in batch.failures:
                known_bad.admit(failure, step)
            yield batch


def read_batch(source: StreamSource, step: int, rank: int = 0, world_size: int = 1) -> Batch:
    """One rank's batch of one step: a pure function of its arguments and the corpus."""
    return next(batches(source, [step], rank, world_size))


def place_orders(
    plan: Plan | Sweep, planned: Iterable[Visit], step: int, known_bad: KnownBad
) -> tuple[Order, ...]:
    """What to ask a reader for, so that nothing known to be bad is tried again.

    Raises:
        FailureBudgetExceeded: an item and all its substitutes are known to be bad.
    """
    if isinstance(plan, Sweep):
        return tuple(Order(visit) for visit in planned)
    return tuple(Order(visit, next_attempt(plan, visit, 0, step, known_bad)) for visit in planned)


def next_attempt(plan: Plan, visit: Visit, attempt: int, step: int, known_bad: KnownBad) -> int:
    """The first candidate for a visit, from `attempt` on, that is not known to be bad.

    Raises:
        FailureBudgetExceeded: there is none.
    """
    for number in range(attempt, MAX_SUBSTITUTES + 1):
        if not known_bad.excludes(substitute(plan, visit.address, number), step):
            return number
    raise FailureBudgetExceeded(
        f"{visit.address} and its {MAX_SUBSTITUTES} substitutes have all failed; "
        "see avrep quarantine RUN"
    )
