"""How many items may fail before the run stops: a rate, judged after a while."""

from avrep.errors import FailureBudgetExceeded
from avrep.types import Failure

PROBATION_ITEMS = 100
"""Items read before the share of failures means anything."""


def check_failure_budget(
    num_failed: int, num_read: int, max_share: float, last: Failure | None
) -> None:
    """Raise when too large a share of the items read so far failed.

    Args:
        num_failed: items that failed.
        num_read: items asked for, the failed ones included.
        max_share: what a run puts up with, in [0, 1].
        last: a failure to name in the message.

    Raises:
        FailureBudgetExceeded: more than `max_share` of at least `PROBATION_ITEMS` items failed.
    """
    if num_read < PROBATION_ITEMS or num_failed <= max_share * num_read:
        return
    example = f"; the last: {last.key}: {last.stage}: {last.reason}" if last else ""
    raise FailureBudgetExceeded(
        f"{num_failed} of {num_read} items failed, more than data.max_failure_share={max_share}"
        f"{example}. Is the storage reachable and the catalogue up to date?"
    )
